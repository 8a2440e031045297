"""Bots that are larger than what the compute environment can hold, before Batch sees them and after."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.aws import make_bucket
from local.batch_capacity import Capacity, Size
from local.stack import Running, listen, stack
from tests.jobs import begun, finished, post, registered
from tests.proxies import SigningProxy
from tests.support import ApiClient

Make = Callable[..., dict[str, Any]]
WORKER = Path(__file__).parent.parent / "contract_worker.py"
SMALL = {"BOT_MAX_VCPUS": "64", "JOB_MAX_VCPUS": "8", "BOT_MAX_MEMORY_MIB": "16384"}  # the jobs' own bound counts, too


@pytest.fixture(scope="module")
def start(signed_opensearch: SigningProxy) -> Iterator[Callable[..., Running]]:
    """Start a stack over the same bots and jobs, with these settings."""
    started = []

    def make(**extra: str) -> Running:
        own = {"INDEX_PREFIX": "sizes", **extra}
        program = [sys.executable, str(WORKER)]
        made = stack(signed_opensearch.url, listen(0), workers=2, extra=own, program=program, pace=0.01)
        started.append(made)
        return made.__enter__()

    yield make
    for made in started:
        made.__exit__(None, None, None)


@pytest.fixture(scope="module")
def large(start: Callable[..., Running]) -> Running:
    """A stack that takes every size of local mode."""
    return start()


@pytest.fixture(scope="module")
def small(start: Callable[..., Running]) -> ApiClient:
    """The API after its limit was lowered."""
    running = start(**SMALL)
    return ApiClient(running.url, running.aws_url)


@pytest.fixture(scope="module")
def api(large: Running) -> ApiClient:
    return ApiClient(large.url, large.aws_url)


@pytest.fixture
def bucket(api: ApiClient) -> str:
    s3 = api.aws("s3")
    make_bucket(s3, "media-of-sizes")
    s3.put_object(Bucket="media-of-sizes", Key="a.jpg", Body=b"picture")
    return "media-of-sizes"


@pytest.mark.parametrize("query", ["", "?validate_only=true"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_bot_that_cannot_be_placed_is_refused_with_the_most_that_is_allowed(
    small: ApiClient, configuration: Make, method: str, query: str
) -> None:
    bot = configuration(endpoint_ecr_image_path=None)
    path = "/bots" if method == "POST" else f"/bots/{bot['name']}"
    if method == "PATCH":
        small.register({**bot, "bot_vcpu": 8, "bot_mem": 16384})

    refused = small(method, path + query, {**bot, "bot_vcpu": 9, "bot_mem": 16385})

    assert refused.status == 422
    assert refused.json["errors"] == [
        {"pointer": "/bot_vcpu", "detail": "must be at most 8 vCPUs, the most that can be run here; it is 9"},
        {"pointer": "/bot_mem", "detail": "must be at most 16384 MiB, the most that can be run here; it is 16385"},
    ]


def test_a_bot_without_a_size_is_as_large_as_its_container_would_be(
    start: Callable[..., Running], configuration: Make
) -> None:
    running = start(BOT_MAX_VCPUS="1", BOT_MAX_MEMORY_MIB="1024")
    tiny = ApiClient(running.url, running.aws_url)

    refused = tiny("POST", "/bots", configuration())

    assert refused.json["errors"] == [
        {"pointer": "/bot_mem", "detail": "must be at most 1024 MiB, the most that can be run here; it is 2048"}
    ]


def test_a_bot_that_was_registered_before_the_limit_is_not_run(
    api: ApiClient, small: ApiClient, configuration: Make, bucket: str
) -> None:
    bot = registered(api, configuration(file_types=".jpg", bot_vcpu=16))
    key = {"Idempotency-Key": bot}
    before = post(api, bot, "no-such-bucket", key).json["job_id"]
    assert finished(api, before)["status"] == "FAILED"
    sentence = (
        f"bot '{bot}' is too large: its bot_vcpu must be at most 8 vCPUs, the most that can be run here; it is 16"
    )

    begun_now = post(small, bot, bucket)
    retried = small("POST", f"/jobs/{before}/retry")
    repeated = post(small, bot, "no-such-bucket", key)

    assert (begun_now.status, begun_now.json["errors"]) == (422, [{"pointer": "/bot_name", "detail": sentence}])
    assert (retried.status, retried.json["detail"]) == (409, f"{sentence}; make it smaller to retry")
    assert (repeated.status, repeated.json["job_id"]) == (202, before), "nothing new is asked for"


def test_a_job_that_no_instance_can_hold_ends_with_batchs_reason(
    large: Running, api: ApiClient, configuration: Make, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large.aws.batch, "timeout_factor", 0.001)
    monkeypatch.setattr(large.aws.batch, "capacity", Capacity(max_vcpus=256, largest=Size(4, 8192)))
    bot = registered(api, configuration(file_types=".jpg", bot_mem=8193))

    job = finished(api, begun(api, bot, bucket))

    assert job["status"] == "FAILED"
    assert job["reason"] == (
        "1 of 1 files was not finished: Batch says of slice 1: Canceled by JobStateTimeLimit action due to reason: "
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT; the bot's bot_vcpu or bot_mem is more than the compute environment "
        "can hold"
    )
