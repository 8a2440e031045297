import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local import arns, template
from local.aws import CREDENTIALS, REGION, EmulatedAws
from local.workers import Workers
from tests.support import eventually

# Slice 13 never succeeds; "wait" waits until it is ended.
BOT = """
import os, sys, time
if os.environ.get("mode") == "wait":
    time.sleep(600)
sys.exit(1 if os.environ["batch_id"] == "13" else 0)
"""
TEMPLATE = """
Parameters:
  SlicesAtOnce: {Type: Number, Default: 50}
Globals:
  Function: {Timeout: 29, Environment: {Variables: {}}}
Resources:
  CheckEndpoints: {Type: AWS::Serverless::Function, Properties: {Handler: check_endpoints}}
  ListFiles: {Type: AWS::Serverless::Function, Properties: {Handler: list_files}}
  PrepareSlices: {Type: AWS::Serverless::Function, Properties: {Handler: prepare_slices, Timeout: 1}}
  SumUp: {Type: AWS::Serverless::Function, Properties: {Handler: sum_up}}
  RecordJob:
    Type: AWS::Serverless::Function
    Properties:
      Handler: record_job
      Events:
        Ended:
          Type: EventBridgeRule
          Properties:
            Pattern:
              source: [aws.states]
              detail-type: [Step Functions Execution Status Change]
              detail: {status: [FAILED, ABORTED], stateMachineArn: [!Ref RunJob]}
  BotRole: {Type: AWS::IAM::Role}
  Queue: {Type: AWS::Batch::JobQueue}
  RunJob:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: statemachine/job.asl.json
      DefinitionSubstitutions:
        CheckEndpointsArn: !GetAtt CheckEndpoints.Arn
        ListFilesArn: !GetAtt ListFiles.Arn
        PrepareSlicesArn: !GetAtt PrepareSlices.Arn
        SumUpName: !Ref SumUp
        JobQueue: !Ref Queue
        SlicesAtOnce: !Ref SlicesAtOnce
"""
RETRY = [{"ErrorEquals": ["TransientError"], "IntervalSeconds": 60, "MaxAttempts": 3, "BackoffRate": 2}]
CATCH = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "SumUp"}]
RUN_SLICE = {
    "Type": "Task",
    "Resource": "arn:aws:states:::batch:submitJob.sync",
    "Parameters": {
        "JobName.$": "States.Format('{}-{}', $.name, $.slice)",
        "JobQueue.$": "$.queue",
        "JobDefinition.$": "$.definition",
        "ContainerOverrides": {"Environment.$": "$.environment"},
    },
    "ResultSelector": {"status.$": "$.Status"},
    "End": True,
}
MACHINE = {
    "StartAt": "CheckEndpoints",
    "States": {
        "CheckEndpoints": {
            "Type": "Task",
            "Resource": "${CheckEndpointsArn}",
            "ResultPath": "$.endpoints",
            "Retry": RETRY,
            "Catch": CATCH,
            "Next": "AreEndpointsReady",
        },
        "AreEndpointsReady": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.endpoints.state", "StringEquals": "ready", "Next": "BeginListing"},
                {"Variable": "$.endpoints.state", "StringEquals": "never", "Next": "GiveUp"},
            ],
            "Default": "WaitForEndpoints",
        },
        "WaitForEndpoints": {"Type": "Wait", "Seconds": 30, "Next": "CheckEndpoints"},
        "GiveUp": {"Type": "Fail", "Error": "EndpointsNotReady", "Cause": "the endpoints never came into service"},
        "BeginListing": {
            "Type": "Pass",
            "Result": {"token": None, "count": 0},
            "ResultPath": "$.listing",
            "Next": "ListFiles",
        },
        "ListFiles": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {
                "FunctionName": "${ListFilesArn}",
                "Payload": {"job_id.$": "$.job_id", "listing.$": "$.listing", "execution.$": "$$.Execution.Name"},
            },
            "ResultSelector": {"token.$": "$.Payload.token", "count.$": "$.Payload.count"},
            "ResultPath": "$.listing",
            "Retry": RETRY,
            "Catch": CATCH,
            "Next": "IsListed",
        },
        "IsListed": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.listing.token", "IsNull": False, "Next": "ListFiles"},
                {"Variable": "$.listing.count", "NumericEquals": 0, "Next": "SumUp"},
            ],
            "Default": "PrepareSlices",
        },
        "PrepareSlices": {
            "Type": "Task",
            "Resource": "${PrepareSlicesArn}",
            "ResultPath": "$.prepared",
            "Next": "RunSlices",
        },
        "RunSlices": {
            "Type": "Map",
            "Label": "Slices",
            "ItemsPath": "$.prepared.slices",
            "MaxConcurrency": "SLICES_AT_ONCE",
            "ToleratedFailurePercentage": 100,
            "ItemSelector": {
                "name.$": "$$.Execution.Name",
                "slice.$": "States.JsonToString($$.Map.Item.Value)",
                "queue": "${JobQueue}",
                "definition.$": "$.prepared.definition",
                "environment": [
                    {"Name": "batch_id", "Value.$": "States.JsonToString($$.Map.Item.Value)"},
                    {"Name": "mode", "Value.$": "$.prepared.mode"},
                ],
            },
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "RunSlice",
                "States": {"RunSlice": RUN_SLICE},
            },
            "ResultPath": None,
            "Catch": CATCH,
            "Next": "SumUp",
        },
        "SumUp": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "${SumUpName}", "Payload.$": "$"},
            "OutputPath": "$.Payload",
            "Retry": RETRY,
            "End": True,
        },
    },
}


class TransientError(Exception):
    """What a function raises that is worth another attempt."""


class Functions:
    """Runs this test's functions in place of the service's."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.events: list[Any] = []
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self._threads = ThreadPoolExecutor(4)

    def submit(self, handler: str, event: Mapping[str, Any]) -> "Future[Any]":
        self.calls[handler] += 1
        self.events.append((handler, event))
        return self._threads.submit(self.answers[handler], event)

    def given(self, handler: str) -> list[Any]:
        return [event for name, event in self.events if name == handler]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedAws]:
    folder = tmp_path_factory.mktemp("template")
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "statemachine").mkdir()
    text = json.dumps(MACHINE).replace('"SLICES_AT_ONCE"', "${SlicesAtOnce}")
    (folder / "statemachine" / "job.asl.json").write_text(text)
    aws = EmulatedAws(program=[sys.executable, "-c", BOT], pace=0.001, declared=folder / "template.yaml")
    aws.start(cast(Workers, None))
    yield aws
    aws.stop()


@pytest.fixture
def functions(aws: EmulatedAws) -> Functions:
    functions = Functions()
    functions.answers = {
        "check_endpoints": lambda _: {"state": "ready"},
        "list_files": lambda event: {"token": None, "count": event["listing"]["count"] + 3},
        "prepare_slices": lambda _: {"slices": [1, 2, 3], "definition": "reader", "mode": "run"},
        "sum_up": lambda event: {"job_id": event["job_id"], "failure": event.get("failure")},
    }
    aws._workers = cast(Workers, functions)
    return functions


@pytest.fixture
def events(aws: EmulatedAws) -> Iterator[list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    aws.stepfunctions.on_change = events.append
    yield events
    aws.stepfunctions.on_change = None


@pytest.fixture(scope="module")
def sfn(aws: EmulatedAws) -> Any:
    return client_of(aws, "stepfunctions")


@pytest.fixture(scope="module")
def batch(aws: EmulatedAws) -> Any:
    batch = client_of(aws, "batch")
    batch.register_job_definition(
        jobDefinitionName="reader",
        type="container",
        containerProperties={
            "image": "reader:1",
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}],
        },
        retryStrategy={"attempts": 2, "evaluateOnExit": [{"onReason": "*", "action": "EXIT"}]},
    )
    return batch


@pytest.fixture
def job_id(request: pytest.FixtureRequest) -> str:
    """A name that no other test's executions have."""
    return f"job{abs(hash(request.node.nodeid))}"


def client_of(aws: EmulatedAws, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=aws.url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )


def start(sfn: Any, job_id: str, *, machine: str = arns.state_machine("byob-RunJob"), **given: Any) -> str:
    arn: str = sfn.start_execution(
        stateMachineArn=machine, name=f"{job_id}-1", input=json.dumps({"job_id": job_id, **given})
    )["executionArn"]
    return arn


def ended(sfn: Any, arn: str, seconds: float = 20) -> Any:
    return eventually(
        lambda: sfn.describe_execution(executionArn=arn), lambda seen: seen["status"] != "RUNNING", seconds
    )


def machine(sfn: Any, name: str, states: dict[str, Any]) -> str:
    """Make a state machine that begins with the first of these states."""
    definition = json.dumps({"StartAt": next(iter(states)), "States": states})
    arn: str = sfn.create_state_machine(name=name, definition=definition, roleArn=arns.role("jobs"))["stateMachineArn"]
    return arn


def one(sfn: Any, name: str, state: dict[str, Any], **given: Any) -> Any:
    """Run a machine of one state, and give its execution."""
    return ended(sfn, start(sfn, name, machine=machine(sfn, name, {"Only": {**state, "End": True}}), **given))


def jobs_of(batch: Any, job_id: str) -> list[dict[str, Any]]:
    pages = batch.get_paginator("list_jobs").paginate(
        jobQueue=arns.JOB_QUEUE_ARN, filters=[{"name": "JOB_NAME", "values": [f"{job_id}-1-*"]}]
    )
    return [job for page in pages for job in page["jobSummaryList"]]


def test_a_job_goes_its_way_from_endpoints_to_sum(sfn: Any, batch: Any, functions: Functions, job_id: str) -> None:
    states = iter(["coming", "coming", "ready"])
    pages = iter([{"token": "p2", "count": 1000}, {"token": "p3", "count": 2000}, {"token": None, "count": 2500}])
    functions.answers["check_endpoints"] = lambda _: {"state": next(states)}
    functions.answers["list_files"] = lambda _: next(pages)

    execution = ended(sfn, start(sfn, job_id))

    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"]) == {"job_id": job_id, "failure": None}
    assert functions.calls == {"check_endpoints": 3, "list_files": 3, "prepare_slices": 1, "sum_up": 1}
    assert [event["listing"]["token"] for event in functions.given("list_files")] == [None, "p2", "p3"]
    assert functions.given("list_files")[0]["execution"] == f"{job_id}-1"
    assert {(job["jobName"], job["status"]) for job in jobs_of(batch, job_id)} == {
        (f"{job_id}-1-{slice}", "SUCCEEDED") for slice in (1, 2, 3)
    }
    assert functions.given("sum_up") == [
        {
            "job_id": job_id,
            "endpoints": {"state": "ready"},
            "listing": {"token": None, "count": 2500},
            "prepared": {"slices": [1, 2, 3], "definition": "reader", "mode": "run"},
        }
    ]


def test_batch_is_given_the_environment_of_the_slice(sfn: Any, batch: Any, functions: Functions, job_id: str) -> None:
    functions.answers["prepare_slices"] = lambda _: {"slices": [7], "definition": "reader", "mode": "run"}

    ended(sfn, start(sfn, job_id))

    (listed,) = jobs_of(batch, job_id)
    (job,) = batch.describe_jobs(jobs=[listed["jobId"]])["jobs"]
    assert job["container"]["environment"] == [
        {"name": "batch_id", "value": "7"},
        {"name": "mode", "value": "run"},
        {"name": "MANAGED_BY_AWS", "value": "STARTED_BY_STEP_FUNCTIONS"},
    ]


def test_200_slices_are_all_run(sfn: Any, batch: Any, functions: Functions, job_id: str) -> None:
    slices = [*range(100, 300)]
    functions.answers["prepare_slices"] = lambda _: {"slices": slices, "definition": "reader", "mode": "run"}

    execution = ended(sfn, start(sfn, job_id), 120)

    assert execution["status"] == "SUCCEEDED", execution
    assert {job["jobName"] for job in jobs_of(batch, job_id)} == {f"{job_id}-1-{slice}" for slice in slices}


def test_a_slice_that_fails_is_tolerated_and_the_others_run(
    sfn: Any, batch: Any, functions: Functions, job_id: str
) -> None:
    functions.answers["prepare_slices"] = lambda _: {"slices": [12, 13, 14], "definition": "reader", "mode": "run"}

    execution = ended(sfn, start(sfn, job_id))

    assert json.loads(execution["output"]) == {"job_id": job_id, "failure": None}
    assert {job["jobName"].rpartition("-")[2]: job["status"] for job in jobs_of(batch, job_id)} == {
        "12": "SUCCEEDED",
        "13": "FAILED",
        "14": "SUCCEEDED",
    }


@pytest.mark.parametrize(
    ("tolerance", "status"),
    [
        ({}, "FAILED"),
        ({"ToleratedFailurePercentage": 30}, "FAILED"),
        ({"ToleratedFailurePercentage": 34}, "SUCCEEDED"),
        ({"ToleratedFailureCount": 1}, "SUCCEEDED"),
    ],
)
def test_more_failures_than_tolerated_fail_the_map(
    sfn: Any, batch: Any, job_id: str, tolerance: dict[str, Any], status: str
) -> None:
    run = {
        **RUN_SLICE,
        "Parameters": {
            "JobName": f"{job_id}-1-x",
            "JobQueue": "byob",
            "JobDefinition": "reader",
            "ContainerOverrides": {"Environment": [{"Name": "batch_id", "Value.$": "$"}]},
        },
    }
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Run"}
    every = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": {**processor, "States": {"Run": run}}, **tolerance}

    execution = one(sfn, job_id, every, items=["12", "13", "14"])

    assert execution["status"] == status
    assert execution.get("error") == (None if status == "SUCCEEDED" else "States.ExceedToleratedFailureThreshold")


def test_a_transient_error_is_retried(sfn: Any, batch: Any, functions: Functions, job_id: str) -> None:
    def answer(_: Any) -> Any:
        if functions.calls["list_files"] < 3:
            raise TransientError("the domain is away")
        return {"token": None, "count": 0}

    functions.answers["list_files"] = answer

    execution = ended(sfn, start(sfn, job_id))

    assert execution["status"] == "SUCCEEDED"
    assert functions.calls == {"check_endpoints": 1, "list_files": 3, "sum_up": 1}


@pytest.mark.parametrize("error", [TransientError, ValueError])
def test_what_cannot_be_mended_is_caught_with_its_cause(
    sfn: Any, batch: Any, functions: Functions, job_id: str, error: type[Exception]
) -> None:
    def answer(_: Any) -> Any:
        raise error("bucket 'invoices' does not exist")

    functions.answers["list_files"] = answer

    execution = ended(sfn, start(sfn, job_id))

    failure = json.loads(execution["output"])["failure"]
    assert failure["Error"] == error.__name__
    assert json.loads(failure["Cause"])["errorMessage"] == "bucket 'invoices' does not exist"
    assert functions.calls["list_files"] == (4 if error is TransientError else 1)


def test_a_function_that_takes_too_long_has_timed_out(sfn: Any, batch: Any, functions: Functions, job_id: str) -> None:
    over = threading.Event()
    functions.answers["prepare_slices"] = lambda _: over.wait(20)

    execution = ended(sfn, start(sfn, job_id))

    over.set()
    assert (execution["status"], execution["error"]) == ("FAILED", "Sandbox.Timedout")
    assert json.loads(execution["cause"])["errorMessage"] == "Task timed out after 1.00 seconds"


def test_an_execution_that_fails_says_why(
    sfn: Any, functions: Functions, job_id: str, events: list[dict[str, Any]]
) -> None:
    functions.answers["check_endpoints"] = lambda _: {"state": "never"}

    arn = start(sfn, job_id)

    execution = ended(sfn, arn)
    assert (execution["status"], execution["error"], execution["cause"]) == (
        "FAILED",
        "EndpointsNotReady",
        "the endpoints never came into service",
    )
    eventually(lambda: [event["detail"]["status"] for event in events], lambda told: told == ["RUNNING", "FAILED"])
    assert events[1] == {
        "version": "0",
        "id": events[1]["id"],
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": arns.ACCOUNT,
        "time": events[1]["time"],
        "region": REGION,
        "resources": [arn],
        "detail": {
            "executionArn": arn,
            "stateMachineArn": arns.state_machine("byob-RunJob"),
            "stateMachineVersionArn": None,
            "stateMachineAliasArn": None,
            "name": f"{job_id}-1",
            "status": "FAILED",
            "startDate": round(execution["startDate"].timestamp() * 1000),
            "stopDate": round(execution["stopDate"].timestamp() * 1000),
            "input": json.dumps({"job_id": job_id}),
            "inputDetails": {"included": True},
            "output": None,
            "outputDetails": None,
            "redriveCount": 0,
            "redriveDate": None,
            "redriveStatus": "REDRIVABLE",
            "redriveStatusReason": None,
            "error": "EndpointsNotReady",
            "cause": "the endpoints never came into service",
        },
    }


def test_stopping_ends_the_running_jobs_and_starts_no_other(
    sfn: Any, batch: Any, functions: Functions, job_id: str, events: list[dict[str, Any]]
) -> None:
    slices = [*range(100, 160)]
    functions.answers["prepare_slices"] = lambda _: {"slices": slices, "definition": "reader", "mode": "wait"}
    arn = start(sfn, job_id)
    eventually(lambda: [job["status"] for job in jobs_of(batch, job_id)], lambda seen: seen.count("RUNNING") == 4)

    sfn.stop_execution(executionArn=arn, error="Cancelled", cause="nobody wants it")

    execution = sfn.describe_execution(executionArn=arn)
    assert (execution["status"], execution["error"], execution["cause"]) == ("ABORTED", "Cancelled", "nobody wants it")
    jobs = eventually(
        lambda: jobs_of(batch, job_id), lambda jobs: {job["status"] for job in jobs} == {"FAILED"}, seconds=60
    )
    assert {job["statusReason"] for job in jobs} == {"Job terminated by Step Functions."}
    assert functions.calls["sum_up"] == 0
    eventually(lambda: [event["detail"]["status"] for event in events], lambda told: told == ["RUNNING", "ABORTED"])
    assert sfn.stop_execution(executionArn=arn)["stopDate"] == execution["stopDate"]


def test_stopping_interrupts_a_wait(aws: EmulatedAws, sfn: Any, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws.stepfunctions, "pace", 1.0)
    arn = start(sfn, job_id, machine=machine(sfn, job_id, {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}))

    sfn.stop_execution(executionArn=arn)

    assert sfn.describe_execution(executionArn=arn)["status"] == "ABORTED"
    eventually(
        lambda: [thread.name for thread in threading.enumerate() if thread.name == "execution"],
        lambda names: not names,
    )


def test_a_task_that_takes_too_long_is_given_up_and_its_job_ended(sfn: Any, batch: Any, job_id: str) -> None:
    environment = [{"Name": "batch_id", "Value": "1"}, {"Name": "mode", "Value": "wait"}]
    parameters = {"JobName": f"{job_id}-1-1", "JobQueue": "byob", "JobDefinition": "reader"}
    slow = {
        "Type": "Task",
        "Resource": "arn:aws:states:::batch:submitJob.sync",
        "Parameters": {**parameters, "ContainerOverrides": {"Environment": environment}},
        "TimeoutSeconds": 1,
    }

    execution = one(sfn, job_id, slow)

    assert (execution["status"], execution["error"]) == ("FAILED", "States.Timeout")
    eventually(lambda: [job["status"] for job in jobs_of(batch, job_id)], lambda seen: seen == ["FAILED"])


def test_the_same_start_while_it_runs_is_the_same_execution(
    sfn: Any, batch: Any, functions: Functions, job_id: str
) -> None:
    go = threading.Event()
    functions.answers["check_endpoints"] = lambda _: go.wait(20) and {"state": "ready"}

    first, second = start(sfn, job_id), start(sfn, job_id)

    assert first == second
    with pytest.raises(sfn.exceptions.ExecutionAlreadyExists):
        start(sfn, job_id, run=2)
    go.set()
    assert ended(sfn, first)["status"] == "SUCCEEDED"
    with pytest.raises(sfn.exceptions.ExecutionAlreadyExists):
        start(sfn, job_id)
    assert functions.calls["check_endpoints"] == 1


def test_intrinsic_functions_and_the_context_are_there(sfn: Any, job_id: str) -> None:
    passes = {
        "Type": "Pass",
        "Parameters": {
            "text.$": "States.Format('{}/{}', $.job_id, $$.Execution.Name)",
            "sum.$": "States.MathAdd($.number, 1)",
            "range.$": "States.ArrayRange(1, 4, 1)",
            "length.$": "States.ArrayLength($.list)",
            "parts.$": "States.StringSplit('a-b', '-')",
            "input.$": "$$.Execution.Input.number",
            "id.$": "$$.Execution.Id",
            "at.$": "$$.Execution.StartTime",
        },
    }

    execution = one(sfn, job_id, passes, number=41, list=[1, 2])

    assert json.loads(execution["output"]) == {
        "text": f"{job_id}/{job_id}-1",
        "sum": 42,
        "range": [1, 2, 3, 4],
        "length": 2,
        "parts": ["a", "b"],
        "input": 41,
        "id": execution["executionArn"],
        "at": execution["startDate"].strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
    }


def test_the_children_of_a_distributed_map_are_executions_of_their_own(sfn: Any, job_id: str) -> None:
    states = {"Tell": {"Type": "Pass", "Parameters": {"name.$": "$$.Execution.Name", "item.$": "$"}, "End": True}}
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Tell"}
    every = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": {**processor, "States": states}}

    told = json.loads(one(sfn, job_id, every, items=["a", "b"])["output"])

    assert [child["item"] for child in told] == ["a", "b"]
    assert len({child["name"] for child in told} | {f"{job_id}-1"}) == 3


def test_an_inline_map_keeps_the_order_of_its_items(sfn: Any, job_id: str) -> None:
    states = {"Add": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, 1)"}, "End": True}}
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "Add", "States": states}
    every = {
        "Type": "Map",
        "ItemsPath": "$.items",
        "MaxConcurrency": 5,
        "ItemSelector": {"n.$": "$$.Map.Item.Value"},
        "ItemProcessor": processor,
    }

    execution = one(sfn, job_id, every, items=[*range(50)])

    assert json.loads(execution["output"]) == [{"n": n + 1} for n in range(50)]


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ({"Name": "batch_id", "Value.$": "$.number"}, "must be a STRING"),
        ({"name": "batch_id", "Value": "1"}, "is not supported by Step Functions"),
    ],
)
def test_what_the_service_would_not_hand_on_to_batch_is_refused(
    sfn: Any, batch: Any, job_id: str, variable: dict[str, Any], sentence: str
) -> None:
    parameters = {"JobName": "x", "JobQueue": "byob", "JobDefinition": "reader"}
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::batch:submitJob.sync",
        "Parameters": {**parameters, "ContainerOverrides": {"Environment": [variable]}},
    }

    execution = one(sfn, job_id, task, number=1)

    assert (execution["status"], execution["error"]) == ("FAILED", "States.Runtime")
    assert sentence in execution["cause"]


def test_a_definition_that_cannot_be_read_is_refused(sfn: Any) -> None:
    with pytest.raises(ClientError, match="InvalidDefinition"):
        sfn.create_state_machine(name="wrong", definition='{"StartAt": 1}', roleArn=arns.role("jobs"))


def test_rules_pick_the_events_that_match(aws: EmulatedAws) -> None:
    listener = template.functions(aws.declared)["RecordJob"]
    detail = {"status": "FAILED", "stateMachineArn": arns.state_machine("byob-RunJob")}
    event = {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": detail,
    }

    assert listener.listens_to(event)
    assert not listener.listens_to({**event, "source": "aws.sagemaker"})
    assert not listener.listens_to({**event, "detail": {**detail, "status": "SUCCEEDED"}})
    assert not listener.listens_to({**event, "detail": {"status": "FAILED", "stateMachineArn": "another"}})
    assert not template.functions(aws.declared)["SumUp"].listens_to(event)


def test_a_substitution_without_a_local_value_is_named(tmp_path: Path) -> None:
    resources = "  Table: {Type: AWS::DynamoDB::Table}\n"
    properties = "{DefinitionUri: m.json, DefinitionSubstitutions: {Table: !GetAtt Table.Arn}}"
    resources += f"  Job:\n    Type: AWS::Serverless::StateMachine\n    Properties: {properties}\n"
    (tmp_path / "template.yaml").write_text(f"Resources:\n{resources}")
    (tmp_path / "m.json").write_text("{}")

    with pytest.raises(LookupError, match=r"Table\.Arn \(AWS::DynamoDB::Table\)"):
        template.state_machines(tmp_path / "template.yaml")
