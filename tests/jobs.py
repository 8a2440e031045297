"""Jobs over HTTP as their caller sees them, and what becomes of them in Batch and in S3."""

from typing import Any, Final

from local.arns import JOB_QUEUE_ARN
from tests.support import ApiClient, Reply, eventually

FINISHED: Final = frozenset({"COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED"})


def registered(api: ApiClient, configuration: dict[str, Any]) -> str:
    """Register a bot and wait for its endpoint; give its name."""
    name: str = api.register(configuration).json["name"]
    eventually(lambda: api.endpoint_of(name)["status"], lambda status: status == "InService")
    return name


def post(api: ApiClient, bot: str, bucket: str, headers: dict[str, str] | None = None, **fields: Any) -> Reply:
    body = {"bot_name": bot, "s3_bucket": bucket, "output_s3_bucket": bucket, "output_s3_prefix": "results", **fields}
    return api("POST", "/jobs", body, headers)


def begun(api: ApiClient, bot: str, bucket: str, **fields: Any) -> str:
    """Begin a job over a bucket, with results beside the files; give its id."""
    reply = post(api, bot, bucket, **fields)
    assert reply.status == 202, reply.body
    id: str = reply.json["job_id"]
    return id


def finished(api: ApiClient, id: str, seconds: float = 60) -> Any:
    """Wait until a job has ended; its counts have to sum all along."""

    def look() -> Any:
        job = api("GET", f"/jobs/{id}").json
        assert sum(job["counts"].values()) == job["files"]
        return job

    return eventually(look, lambda job: job["status"] in FINISHED, seconds=seconds)


def files(api: ApiClient, id: str, limit: int = 100, status: str = "") -> list[Any]:
    """List a job's files, page by page."""
    found, token = [], ""
    while token is not None:
        asked = (
            f"/jobs/{id}/files?limit={limit}"
            + f"&status={status}" * bool(status)
            + f"&next_token={token}" * bool(token)
        )
        page = api("GET", asked).json
        assert len(page["files"]) <= limit
        found += page["files"]
        token = page["next_token"]
    return found


def results(api: ApiClient, bucket: str, prefix: str = "results/") -> list[str]:
    """Give the keys in a bucket under a prefix."""
    pages = api.aws("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))


def batch_jobs(api: ApiClient, id: str) -> list[Any]:
    """List the Batch jobs of all runs of a job."""
    filters = [{"name": "JOB_NAME", "values": [f"{id}-*"]}]
    found: list[Any] = api.aws("batch").list_jobs(jobQueue=JOB_QUEUE_ARN, filters=filters)["jobSummaryList"]
    return found
