"""A bot's container as somebody else would write it: against the ten variables of the contract, and nothing of ours.

It finds its files with a scrolled `match`, as clients of years ago do. What a key is named decides what becomes of it:
`refused` is recorded as an ERROR, `crash` ends the container for good, `slow` waits until somebody ends it.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any

import boto3
import requests
from requests_aws4auth import AWS4Auth

NAMES = (
    "region_name endpoint_name output_s3_bucket output_s3_prefix es_host es_port es_protocol es_index batch_id job_id"
)
CONTRACT = {name: os.environ[name] for name in NAMES.split()}
INDEX = "{es_protocol}://{es_host}:{es_port}/{es_index}".format(**CONTRACT)
DOMAIN = INDEX.rpartition("/")[0]
AUTH = AWS4Auth(
    os.environ["AWS_ACCESS_KEY_ID"],
    os.environ["AWS_SECRET_ACCESS_KEY"],
    CONTRACT["region_name"],
    "es",
    session_token=os.environ.get("AWS_SESSION_TOKEN"),
)
S3 = boto3.client("s3", region_name=CONTRACT["region_name"])


def ask(method: str, url: str, body: Any) -> Any:
    answer = requests.request(method, url, json=body, auth=AUTH, timeout=20)
    answer.raise_for_status()
    return answer.json()


def search_for_file_list(status: str = "NOT_STARTED") -> list[Any]:
    wanted = {"job_id": CONTRACT["job_id"], "batch_id": CONTRACT["batch_id"], "status": status}
    query = {"query": {"bool": {"must": [{"match": {field: value}} for field, value in wanted.items()]}}, "size": 3}
    answer = ask("POST", f"{INDEX}/_search?scroll=2m", query)
    found = []
    while answer["hits"]["hits"]:
        found += answer["hits"]["hits"]
        answer = ask("POST", f"{DOMAIN}/_search/scroll", {"scroll": "2m", "scroll_id": answer["_scroll_id"]})
    return found


def update_status_by_id(id: str, **fields: Any) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    ask("POST", f"{INDEX}/_update/{id}", {"doc": {**fields, "update_date": now, "seen_by": "a field of their own"}})


def main_task(bucket: str, key: str) -> str:
    if "refused" in key:
        raise ValueError(f"no picture in {key}")
    if "crash" in key:
        sys.exit(1)
    while "slow" in key:
        time.sleep(0.1)
    size = S3.head_object(Bucket=bucket, Key=key)["ContentLength"]
    prefix = CONTRACT["output_s3_prefix"].rstrip("/")
    result = f"{prefix}/{key}.json" if prefix else f"{key}.json"
    body = json.dumps({"size": size, "endpoints": CONTRACT["endpoint_name"].split(",")}).encode()
    S3.put_object(Bucket=CONTRACT["output_s3_bucket"], Key=result, Body=body)
    return f"s3://{CONTRACT['output_s3_bucket']}/{result}"


for file in search_for_file_list():
    update_status_by_id(file["_id"], status="PROCESSING", attempts=file["_source"]["attempts"] + 1)
    try:
        output = main_task(file["_source"]["bucket"], file["_source"]["file_key"])
    except ValueError as error:
        update_status_by_id(file["_id"], status="ERROR", error=str(error), error_code="ValueError")
    else:
        update_status_by_id(file["_id"], status="COMPLETED", output=output)
