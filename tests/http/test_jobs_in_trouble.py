"""Jobs whose surroundings fail them: a denied bucket, a listing that hangs, starts and events that get lost."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from benchmarks.lister import DENIED, Lister, Refusal, keys
from local.opensearch import OpenSearchNode
from local.stack import listen, stack
from tests.proxies import SigningProxy
from tests.support import ApiClient, eventually

Make = Callable[..., dict[str, Any]]
WORKER = Path(__file__).parent.parent / "contract_worker.py"
NOBODY = "http://127.0.0.1:9"
LONG_AGO = "2026-01-01 00:00:00"


@pytest.fixture
def lister() -> Iterator[Lister]:
    with Lister(keys(2500)) as lister:
        yield lister


@pytest.fixture
def serve(signed_opensearch: SigningProxy) -> Iterator[Callable[..., ApiClient]]:
    """Start a stack of its own with these settings."""
    started = []

    def start(prefix: str, *, events: bool = True, **extra: str) -> ApiClient:
        own = {"INDEX_PREFIX": prefix, **extra}
        program = [sys.executable, str(WORKER)]
        made = stack(signed_opensearch.url, listen(0), workers=2, extra=own, program=program, pace=0.01, events=events)
        running = made.__enter__()
        started.append(made)
        return ApiClient(running.url, running.aws_url)

    yield start
    for made in started:
        made.__exit__(None, None, None)


@pytest.fixture
def bot(configuration: Make) -> dict[str, Any]:
    return configuration(file_types=".jpg")


def begin(api: ApiClient, bot: dict[str, Any], **fields: Any) -> str:
    api.register(bot)
    body = {"bot_name": bot["name"], "s3_bucket": "media", "output_s3_bucket": "tags", **fields}
    reply = api("POST", "/jobs", body)
    assert reply.status == 202, reply.body
    id: str = reply.json["job_id"]
    return id


def job_of(api: ApiClient, id: str) -> Any:
    return api("GET", f"/jobs/{id}").json


def in_status(api: ApiClient, id: str, *statuses: str) -> Any:
    return eventually(lambda: job_of(api, id), lambda job: job["status"] in statuses, seconds=30)


def change_document(node: OpenSearchNode, prefix: str, id: str, **fields: str) -> None:
    url = f"{node.url}/{prefix}-jobs/_update/{id}?refresh=true"
    request = Request(url, json.dumps({"doc": fields}).encode(), {"Content-Type": "application/json"})
    with urlopen(request) as answer:
        assert json.load(answer)["result"] == "updated"


def reconcile(api: ApiClient) -> int:
    reply = api.aws("lambda").invoke(FunctionName="ReconcileJobs", Payload=b"{}")
    assert "FunctionError" not in reply
    looked_at: int = json.loads(reply["Payload"].read())["looked_at"]
    return looked_at


def test_a_bucket_that_is_denied_fails_the_job_with_a_sentence(
    serve: Callable[..., ApiClient], lister: Lister, bot: dict[str, Any]
) -> None:
    lister.refusals["media"] = DENIED
    api = serve("denied", AWS_ENDPOINT_URL_S3=lister.url)

    job = in_status(api, begin(api, bot), "FAILED")

    assert job["reason"].startswith("the platform may not list bucket 'media': ")
    assert "Access Denied" in job["reason"]
    assert "its name has to match the deployment's MediaBucket" in job["reason"]


@pytest.mark.parametrize("bucket", ["media", "tags"])
def test_a_bucket_of_another_region_fails_the_job_with_both_regions(
    serve: Callable[..., ApiClient], lister: Lister, bot: dict[str, Any], bucket: str
) -> None:
    moved = "<Code>PermanentRedirect</Code><Message>Use the specified endpoint.</Message>"
    lister.refusals[bucket] = Refusal(301, moved, {"x-amz-bucket-region": "eu-west-1"})
    api = serve(f"elsewhere-{bucket}", AWS_ENDPOINT_URL_S3=lister.url)

    job = in_status(api, begin(api, bot), "FAILED")

    assert job["reason"] == (
        f"bucket '{bucket}' is in eu-west-1, and jobs run in local-1 alone: name a bucket in local-1, or copy the "
        "files into one"
    )


def test_cancelling_while_it_lists_stops_the_listing_and_a_retry_completes_it(
    serve: Callable[..., ApiClient], lister: Lister, bot: dict[str, Any]
) -> None:
    api = serve("listing", AWS_ENDPOINT_URL_S3=lister.url)
    lister.lets_through.clear()
    id = begin(api, bot)
    in_status(api, id, "LISTING")
    eventually(lambda: lister.pages, lambda pages: pages == 1)

    api("POST", f"/jobs/{id}/cancel")

    in_status(api, id, "CANCELLED")
    lister.lets_through.set()
    eventually(lambda: job_of(api, id)["files"], lambda listed: listed == 1000)
    assert lister.pages == 1
    assert job_of(api, id)["status"] == "CANCELLED"
    api("POST", f"/jobs/{id}/retry")
    assert in_status(api, id, "RUNNING", "FAILED", "COMPLETED_WITH_ERRORS")["files"] == 2500
    api("POST", f"/jobs/{id}/cancel")
    in_status(api, id, "CANCELLED", "FAILED", "COMPLETED_WITH_ERRORS")


def test_a_job_whose_execution_could_not_be_started_says_so_and_is_started_by_the_schedule(
    serve: Callable[..., ApiClient], lister: Lister, bot: dict[str, Any], node: OpenSearchNode
) -> None:
    without = serve("unstarted", AWS_ENDPOINT_URL_SFN=NOBODY, AWS_ENDPOINT_URL_S3=lister.url)
    id = begin(without, bot)
    job = job_of(without, id)
    assert job["status"] == "QUEUED"
    assert job["reason"].startswith("its execution could not be started yet, which is tried again every 5 minutes: ")
    api = serve("unstarted", AWS_ENDPOINT_URL_S3=lister.url)
    api("POST", f"/bots/{bot['name']}/deploy")  # this stack's SageMaker has no endpoint yet
    assert reconcile(api) == 0  # as young as it is, whoever made it may be at it still
    change_document(node, "unstarted", id, update_date=LONG_AGO)
    lister.refusals["media"] = DENIED

    assert reconcile(api) == 1

    assert "bucket 'media'" in in_status(api, id, "FAILED")["reason"]


def test_the_schedule_alone_finishes_a_cancel_and_sums_up_a_run_that_died(
    serve: Callable[..., ApiClient], lister: Lister, bot: dict[str, Any], node: OpenSearchNode
) -> None:
    api = serve("lost", events=False, AWS_ENDPOINT_URL_S3=lister.url)
    cancelled = begin(api, {**bot, "endpoint_ecr_image_path": ""})
    body = {"bot_name": bot["name"], "s3_bucket": "media", "output_s3_bucket": "tags"}
    died = api("POST", "/jobs", body).json["job_id"]
    for id in (cancelled, died):
        in_status(api, id, "WAITING")
    states = api.aws("stepfunctions")
    machine = states.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    states.stop_execution(executionArn=machine.replace(":stateMachine:", ":execution:") + f":{died}-1")

    assert api("POST", f"/jobs/{cancelled}/cancel").json["status"] == "CANCELLING"

    for id in (cancelled, died):
        change_document(node, "lost", id, update_date=LONG_AGO)
    assert reconcile(api) == 2
    assert job_of(api, cancelled)["status"] == "CANCELLED"
    died_of = job_of(api, died)
    assert (died_of["status"], died_of["reason"]) == (
        "FAILED",
        "its execution in Step Functions ended before its time (ABORTED)",
    )
    assert reconcile(api) == 1  # once more at what was cancelled lately, for a Batch job that came late
