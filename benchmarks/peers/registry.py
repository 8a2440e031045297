"""The same two reads by opensearch-py with its own signer, as its guide shows ("Using IAM credentials", urllib3)."""

import os
from typing import Any

import boto3
from opensearchpy import OpenSearch, Urllib3AWSV4SignerAuth, Urllib3HttpConnection

# The guide has two signers; this is the quicker of them.
_client = OpenSearch(
    hosts=[os.environ["OPENSEARCH_URL"]],
    http_auth=Urllib3AWSV4SignerAuth(boto3.Session().get_credentials(), os.environ["AWS_REGION"], "es"),
    connection_class=Urllib3HttpConnection,
    pool_maxsize=20,
)


def read(name: str) -> dict[str, Any]:
    """Read a bot and the records of its endpoints; raise opensearchpy's NotFoundError."""
    prefix = os.environ["INDEX_PREFIX"]
    bot = _client.get(index=f"{prefix}-bots", id=name)["_source"]
    ids = [endpoint.lower() for endpoint in bot["endpoint_name"].split(",")]
    records = _client.mget(index=f"{prefix}-endpoints", body={"ids": ids})["docs"]
    return {**bot, "endpoints": [{**record["_source"], "outdated": False} for record in records if record["found"]]}
