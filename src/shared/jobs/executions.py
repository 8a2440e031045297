"""The door to Step Functions: one execution for each run of a job, named after both."""

import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

import boto3
from botocore.config import Config

from shared import settings
from shared.aws import AwsRefusedError, call

_CONFIG: Final = Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 3, "mode": "standard"})


@dataclass(frozen=True, slots=True)
class Execution:
    """What Step Functions says of a run: RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED, and its error's name."""

    status: str
    error: str

    @property
    def is_running(self) -> bool:
        """Whether it may still do something."""
        return self.status in ("RUNNING", "PENDING_REDRIVE")


class Executions:
    """Starts, looks at and stops executions; raises AwsUnavailableError, AwsRefusedError."""

    @cached_property
    def _client(self) -> Any:
        return boto3.client("stepfunctions", config=_CONFIG)

    def start(self, job_id: str, run: int) -> None:
        """Start a run; one that has been started is left as it is (Step Functions API, StartExecution)."""
        parameters = {"name": _name(job_id, run), "input": json.dumps({"job_id": job_id, "run": run})}
        try:
            call(self._client, "start_execution", stateMachineArn=settings.state_machine(), **parameters)
        except AwsRefusedError as error:
            if error.code != "ExecutionAlreadyExists":
                raise

    def find(self, job_id: str, run: int) -> Execution | None:
        """Look at a run; None where it was never started."""
        try:
            found = call(self._client, "describe_execution", executionArn=_arn(job_id, run))
        except AwsRefusedError as error:
            if error.code == "ExecutionDoesNotExist":
                return None
            raise
        return Execution(found["status"], found.get("error") or "")

    def stop(self, job_id: str, run: int) -> None:
        """Stop a run, if there is one."""
        try:
            call(self._client, "stop_execution", executionArn=_arn(job_id, run), error="Cancelled")
        except AwsRefusedError as error:
            if error.code != "ExecutionDoesNotExist":
                raise


@cache
def executions() -> Executions:
    """Give the door, made on first use."""
    return Executions()


def job_of(name: str) -> str:
    """Read a job's id from the name of its execution."""
    return name.rpartition("-")[0]


def _name(job_id: str, run: int) -> str:
    return f"{job_id}-{run}"


def _arn(job_id: str, run: int) -> str:
    return f"{settings.state_machine().replace(':stateMachine:', ':execution:')}:{_name(job_id, run)}"
