import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core.utils import get_service_model

from local import arns
from local.aws import CREDENTIALS, JOB_ROLE, REGION, EmulatedAws
from local.batch_capacity import Capacity, Size
from local.batch_retry import Outcome, is_tried_again
from local.identities import keys_of
from local.workers import Workers
from tests.support import check, eventually

# Does what `orders` says for each attempt: an exit code, or how not to end.
BOT = """
import os, signal, sys, time
order = os.environ["orders"].split(",")[int(os.environ["AWS_BATCH_JOB_ATTEMPT"]) - 1]
if order == "die":
    os.kill(os.getpid(), signal.SIGKILL)
if order == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if order == "environment":
    print(*(f"{name}={value}" for name, value in os.environ.items()), sep="\\n")
    sys.exit()
if not order.isdigit():
    print(order, flush=True)
    while True:
        time.sleep(60)
sys.exit(int(order))
"""
CONTRACT = {
    "region_name": "eu-west-1",
    "endpoint_name": "invoice-layout,invoice-text",
    "output_s3_bucket": "results",
    "output_s3_prefix": "2026/ä b",
    "es_host": "127.0.0.1",
    "es_port": "9200",
    "es_protocol": "http",
    "es_index": "byob-items",
    "batch_id": "7",
    "job_id": "0123456789abcdef0123456789abcdef",
}
# As jobs are given them: Spot reclaims, image pulls and the bot's own "try again" are retried, nothing else.
RULES = [
    {"onStatusReason": "Host EC2*", "action": "RETRY"},
    {"onReason": "CannotPullContainerError:*", "action": "RETRY"},
    {"onExitCode": "75", "action": "RETRY"},
    {"onReason": "*", "action": "EXIT"},
]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def aws() -> Iterator[EmulatedAws]:
    aws = EmulatedAws(program=[sys.executable, "-c", BOT])
    aws.batch.stop_seconds = 1
    aws.start(cast(Workers, None))
    yield aws
    aws.stop()


@pytest.fixture(scope="module")
def batch(aws: EmulatedAws) -> Any:
    return boto3.client(
        "batch",
        endpoint_url=aws.url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def definition(batch: Any) -> str:
    return register(batch, "invoice-reader")


@pytest.fixture
def name(batch: Any) -> Iterator[str]:
    """A name that the jobs of one test begin with; what still waits or runs at its end is terminated."""
    name = f"job{next(_numbers)}"
    yield name
    for job in listed(batch, f"{name}*"):
        batch.terminate_job(jobId=job["jobId"], reason="the test is over")
    eventually(
        lambda: [job["status"] for job in listed(batch, f"{name}*")],
        lambda seen: set(seen) <= {"SUCCEEDED", "FAILED"},
    )


def register(batch: Any, name: str, size: tuple[int, int] = (1, 2048), **changes: Any) -> str:
    arn: str = batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={
            "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/invoice-reader:7",
            "resourceRequirements": [
                {"type": kind, "value": str(value)} for kind, value in zip(("VCPU", "MEMORY"), size, strict=True)
            ],
        },
        **{"retryStrategy": {"attempts": 3, "evaluateOnExit": RULES}, **changes},
    )["jobDefinitionArn"]
    return arn


def submit(batch: Any, definition: str, name: str, orders: str = "0", **environment: str) -> str:
    variables = [{"name": key, "value": value} for key, value in {"orders": orders, **environment}.items()]
    id: str = batch.submit_job(
        jobName=name,
        jobQueue=arns.JOB_QUEUE_ARN,
        jobDefinition=definition,
        containerOverrides={"environment": variables},
    )["jobId"]
    return id


def seen(batch: Any, id: str) -> Any:
    (job,) = batch.describe_jobs(jobs=[id])["jobs"]
    return job


def ended(batch: Any, id: str) -> Any:
    return eventually(lambda: seen(batch, id), lambda job: job["status"] in ("SUCCEEDED", "FAILED"))


def listed(batch: Any, name: str) -> list[dict[str, Any]]:
    pages = batch.get_paginator("list_jobs").paginate(
        jobQueue=arns.JOB_QUEUE_ARN, filters=[{"name": "JOB_NAME", "values": [name]}]
    )
    return [job for page in pages for job in page["jobSummaryList"]]


def has_said(aws: EmulatedAws, id: str, word: str) -> None:
    eventually(lambda: aws.batch.log_of(id), lambda log: word in log)


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == "ClientException"
    message: str = caught.value.response["Error"]["Message"]
    return message


def test_a_job_that_exits_with_0_has_succeeded(batch: Any, definition: str, name: str) -> None:
    id = submit(batch, definition, name)

    job = ended(batch, id)

    assert (job["status"], job["container"]["exitCode"], len(job["attempts"])) == ("SUCCEEDED", 0, 1)
    assert job["createdAt"] <= job["startedAt"] <= job["stoppedAt"]
    job.pop("ResponseMetadata", None)
    check(job, get_service_model("batch").shape_for("JobDetail"))


def test_a_container_has_the_contracts_environment_and_what_batch_sets_alone(
    aws: EmulatedAws, batch: Any, definition: str, name: str
) -> None:
    id = submit(batch, definition, name, "environment", **CONTRACT)
    ended(batch, id)

    given = dict(line.split("=", 1) for line in aws.batch.log_of(id).splitlines())

    given.pop("LC_CTYPE", None)  # the bot's own interpreter sets it where there is no locale (PEP 538)
    assert given == {
        **CONTRACT,
        **keys_of(JOB_ROLE),
        "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
        "orders": "environment",
        "AWS_BATCH_JOB_ID": id,
        "AWS_BATCH_JOB_ATTEMPT": "1",
        "AWS_BATCH_CE_NAME": "byob",
        "AWS_BATCH_JQ_NAME": "byob",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws.url,
        "PATH": os.environ["PATH"],
    }


@pytest.mark.parametrize(
    ("orders", "status", "attempts"),
    [
        ("75,0", "SUCCEEDED", 2),
        ("die,0", "SUCCEEDED", 2),
        ("die,75,0", "SUCCEEDED", 3),
        ("75,75,75", "FAILED", 3),
        ("1,0", "FAILED", 1),
        ("75,2", "FAILED", 2),
    ],
)
def test_what_is_worth_another_attempt_gets_one(
    batch: Any, definition: str, name: str, orders: str, status: str, attempts: int
) -> None:
    job = ended(batch, submit(batch, definition, name, orders))

    assert (job["status"], len(job["attempts"])) == (status, attempts)


def test_a_container_that_is_killed_counts_as_one_whose_host_was_taken_away(
    aws: EmulatedAws, batch: Any, definition: str, name: str
) -> None:
    id = submit(batch, definition, name, "wait,0")
    has_said(aws, id, "wait")
    process = aws.batch.process_of(id)
    assert process

    os.kill(process, signal.SIGKILL)

    job = ended(batch, id)
    assert job["status"] == "SUCCEEDED"
    first = job["attempts"][0]
    assert first["statusReason"].startswith("Host EC2 (instance i-")
    assert "exitCode" not in first["container"]


@pytest.mark.parametrize(
    ("rules", "outcome", "expected"),
    [
        ([], Outcome("x", exit_code=1), True),
        ([{"onExitCode": "7*", "action": "exit"}], Outcome("x", exit_code=75), False),
        ([{"onExitCode": "7", "action": "EXIT"}], Outcome("x", exit_code=75), True),
        ([{"onExitCode": "75", "onReason": "Out*", "action": "EXIT"}], Outcome("x", "Fine", 75), True),
        ([{"onExitCode": "75", "onReason": "Out*", "action": "EXIT"}], Outcome("x", "OutOfMemory", 75), False),
        ([{"onReason": "*", "action": "EXIT"}, {"onExitCode": "75", "action": "RETRY"}], Outcome("x", "", 75), False),
    ],
)
def test_the_first_rule_decides_of_which_all_conditions_hold(
    rules: list[dict[str, str]], outcome: Outcome, expected: bool
) -> None:
    assert is_tried_again({"attempts": 2, "evaluateOnExit": rules}, 1, outcome) is expected
    assert is_tried_again({"attempts": 2, "evaluateOnExit": rules}, 2, outcome) is False


def test_a_job_that_is_too_slow_is_ended_and_not_tried_again(
    aws: EmulatedAws, batch: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.batch, "timeout_factor", 0.005)
    slow = register(batch, "slow-reader", timeout={"attemptDurationSeconds": 60})

    job = ended(batch, submit(batch, slow, name, "wait"))

    assert (job["status"], job["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    assert len(job["attempts"]) == 1


@pytest.mark.parametrize(("order", "code"), [("wait", 128 + signal.SIGTERM), ("stubborn", 128 + signal.SIGKILL)])
def test_terminating_ends_a_running_job_for_good(
    aws: EmulatedAws, batch: Any, definition: str, name: str, order: str, code: int
) -> None:
    id = submit(batch, definition, name, order)
    has_said(aws, id, order)

    batch.terminate_job(jobId=id, reason="no longer wanted")

    job = ended(batch, id)
    assert (job["status"], job["statusReason"], job["isTerminated"]) == ("FAILED", "no longer wanted", True)
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [code]


def test_only_so_many_run_at_once_and_cancelling_leaves_those_alone(
    aws: EmulatedAws, batch: Any, definition: str, name: str
) -> None:
    ids = [submit(batch, definition, f"{name}-{n}", "wait") for n in range(6)]
    for id in ids[:4]:
        has_said(aws, id, "wait")

    for id in (ids[0], ids[5]):
        batch.cancel_job(jobId=id, reason="never mind")

    assert [seen(batch, id)["status"] for id in ids] == ["RUNNING"] * 4 + ["RUNNABLE", "FAILED"]
    assert seen(batch, ids[5])["statusReason"] == "never mind"
    batch.terminate_job(jobId=ids[0], reason="make room")
    has_said(aws, ids[4], "wait")


def test_a_job_that_no_instance_can_hold_lets_none_pass(
    aws: EmulatedAws, batch: Any, definition: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.batch, "time_limits", {})
    monkeypatch.setattr(aws.batch, "capacity", Capacity(max_vcpus=256, largest=Size(16, 65_536)))
    large = submit(batch, register(batch, "large-reader", size=(1, 65_537)), f"{name}-large")
    eventually(lambda: seen(batch, large), lambda job: "statusReason" in job)
    behind = submit(batch, definition, f"{name}-behind")

    assert [seen(batch, id)["status"] for id in (large, behind)] == ["RUNNABLE", "RUNNABLE"]

    assert seen(batch, large)["statusReason"].startswith(
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource "
    )
    batch.cancel_job(jobId=large, reason="make room")
    passed = ended(batch, behind)
    assert (passed["status"], passed["startedAt"] >= seen(batch, large)["stoppedAt"]) == ("SUCCEEDED", True)


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((257, 2048), "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"),
        ((17, 2048), "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
        ((1, 65_537), "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"),
    ],
)
def test_the_queues_time_limit_cancels_what_no_instance_can_hold(
    aws: EmulatedAws, batch: Any, name: str, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], reason: str
) -> None:
    monkeypatch.setattr(aws.batch, "time_limits", {reason: 600})
    monkeypatch.setattr(aws.batch, "timeout_factor", 0.0005)
    monkeypatch.setattr(aws.batch, "capacity", Capacity(max_vcpus=256, largest=Size(16, 65_536)))

    job = ended(batch, submit(batch, register(batch, "large-reader", size=size), name))

    assert (job["status"], job["attempts"], job["isCancelled"]) == ("FAILED", [], True)
    assert job["statusReason"] == f"Canceled by JobStateTimeLimit action due to reason: {reason}"


def test_jobs_are_listed_by_the_beginning_of_their_name_page_by_page(batch: Any, definition: str, name: str) -> None:
    ids = [submit(batch, definition, f"{name}-1-{n}") for n in range(5)]
    submit(batch, definition, f"{name}-2-0")
    wanted: dict[str, Any] = {
        "jobQueue": arns.JOB_QUEUE_ARN,
        "filters": [{"name": "JOB_NAME", "values": [f"{name}-1-*".upper()]}],
        "maxResults": 2,
    }

    pages = [batch.list_jobs(**wanted)]
    while "nextToken" in pages[-1]:
        pages.append(batch.list_jobs(**wanted, nextToken=pages[-1]["nextToken"]))

    assert [[job["jobId"] for job in page["jobSummaryList"]] for page in pages] == [
        [ids[4], ids[3]],
        [ids[2], ids[1]],
        [ids[0]],
    ]


def test_without_a_filter_jobs_of_one_status_are_listed(
    aws: EmulatedAws, batch: Any, definition: str, name: str
) -> None:
    running = submit(batch, definition, f"{name}-runs", "wait")
    over = submit(batch, definition, f"{name}-is-over")
    has_said(aws, running, "wait")
    ended(batch, over)

    shown = batch.list_jobs(jobQueue="byob")["jobSummaryList"]
    succeeded = batch.list_jobs(jobQueue="byob", jobStatus="SUCCEEDED")["jobSummaryList"]

    assert [job["jobId"] for job in shown] == [running]
    assert over in [job["jobId"] for job in succeeded]


def test_a_name_means_the_newest_active_revision(batch: Any, name: str) -> None:
    first, second = (register(batch, f"{name}-reader") for _ in range(2))
    assert seen(batch, submit(batch, f"{name}-reader", name))["jobDefinition"] == second

    batch.deregister_job_definition(jobDefinition=second)

    assert seen(batch, submit(batch, f"{name}-reader", name))["jobDefinition"] == first
    active = batch.describe_job_definitions(jobDefinitionName=f"{name}-reader", status="ACTIVE")["jobDefinitions"]
    assert [(found["jobDefinitionArn"], found["revision"]) for found in active] == [(first, 1)]
    check(active[0], get_service_model("batch").shape_for("JobDefinition"))
    assert "is not ACTIVE" in refused(submit, batch=batch, definition=second, name=name)


def test_what_batch_refuses_is_refused(batch: Any, definition: str) -> None:
    job = {"jobName": "x", "jobQueue": arns.JOB_QUEUE_ARN, "jobDefinition": definition}

    assert "JobQueue other not found" in refused(batch.submit_job, **{**job, "jobQueue": "other"})
    assert "nobody:1 not found" in refused(batch.submit_job, **{**job, "jobDefinition": "nobody:1"})
    assert "between 1 and 10, was 11" in refused(batch.submit_job, **job, retryStrategy={"attempts": 11})
    assert "at least 60" in refused(batch.submit_job, **job, timeout={"attemptDurationSeconds": 59})
    assert "knows no arrayProperties" in refused(batch.submit_job, **job, arrayProperties={"size": 2})
    sizeless = {"jobDefinitionName": "x", "type": "container", "containerProperties": {"image": "x"}}
    assert "lacks VCPU; containerProperties.resourceRequirements lacks MEMORY" in refused(
        batch.register_job_definition, **sizeless
    )
    wrong = {"attempts": 2, "evaluateOnExit": [{"onExitCode": "seven", "action": "RETRY"}]}
    assert "onExitCode is no pattern" in refused(batch.submit_job, **job, retryStrategy=wrong)
    assert "not found" in refused(batch.terminate_job, jobId="gone", reason="x")
    assert batch.describe_jobs(jobs=["gone"])["jobs"] == []


def test_stopping_ends_the_containers() -> None:
    aws = EmulatedAws(program=[sys.executable, "-c", BOT])
    aws.start(cast(Workers, None))
    batch = boto3.client("batch", endpoint_url=aws.url, region_name=REGION, **_keys())
    id = submit(batch, register(batch, "reader"), "job", "stubborn")
    has_said(aws, id, "stubborn")
    process = aws.batch.process_of(id)
    assert process

    aws.stop()

    assert not psutil.pid_exists(process)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells a process of its parent's death")
def test_containers_end_with_a_stack_that_is_killed(tmp_path: Path) -> None:
    program = """
import boto3, sys, time
from local.aws import REGION, EmulatedAws
from tests.local.test_batch import BOT, _keys, register, submit
aws = EmulatedAws(program=[sys.executable, "-c", BOT])
aws.start(None)
batch = boto3.client("batch", endpoint_url=aws.url, region_name=REGION, **_keys())
id = submit(batch, register(batch, "reader"), "job", "stubborn")
while "stubborn" not in aws.batch.log_of(id):
    time.sleep(0.05)
print(aws.batch.process_of(id), flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout
        process = psutil.Process(int(owner.stdout.readline()))

        owner.kill()

        eventually(process.is_running, lambda running: not running)


def _keys() -> dict[str, str]:
    return {
        "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
