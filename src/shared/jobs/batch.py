"""The door to AWS Batch: the definition of a bot's container, and the Batch jobs of a run's slices."""

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from typing import Any, Final

import boto3
from botocore.config import Config

from shared import settings
from shared.aws import call
from shared.bots.fields import container_size
from shared.errors import JobCannotRunError
from shared.jobs.record import Job

#: A slice that takes longer is ended; a retry of the job goes on where it was.
ATTEMPT_SECONDS: Final = 7 * 24 * 3600
#: The containers' word for "try again": EX_TEMPFAIL of sysexits.h.
TRANSIENT_EXIT_CODE: Final = 75

# AWS Batch API, RetryStrategy: at most 10 attempts; EvaluateOnExit: the first that matches decides.
_RETRIES: Final[Mapping[str, Any]] = {
    "attempts": 10,
    "evaluateOnExit": [
        # AWS Batch user guide, "Automated job retries": the sentence of an instance that Spot has taken back.
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "CannotPullContainerError:*", "action": "RETRY"},
        {"onExitCode": str(TRANSIENT_EXIT_CODE), "action": "RETRY"},
        {"onReason": "*", "action": "EXIT"},
    ],
}
# AWS Batch API, RegisterJobDefinition: jobDefinitionName.
NAME_MAX_LENGTH: Final = 128
# AWS Batch user guide, "Jobs stuck in a RUNNABLE status": what it says of a job that no instance can hold.
_MISFITS: Final = ("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
_TOO_LARGE: Final = "the bot's bot_vcpu or bot_mem is more than the compute environment can hold"
_LIVE: Final = frozenset({"SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"})
_THREADS: Final = 8
_CONFIG: Final = Config(
    connect_timeout=2,
    read_timeout=10,
    retries={"total_max_attempts": 6, "mode": "standard"},
    max_pool_connections=_THREADS,
)


class Batch:
    """Speaks to AWS Batch; raises AwsUnavailableError, AwsRefusedError."""

    @cached_property
    def _client(self) -> Any:
        return boto3.client("batch", config=_CONFIG)

    def definition(self, job: Job) -> str:
        """Find or register the job definition of the bot as the job has it; give its ARN.

        Its name holds a hash of its content, so that an active one of that name is the right one. The bot's own name
        is for whoever reads it, and may be cut: the content has it whole.
        """
        config = settings.batch()
        content = _definition(job, config)
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
        name = f"{config.definition_prefix}-{digest}-{job.bot_name}"[:NAME_MAX_LENGTH]
        found = call(self._client, "describe_job_definitions", jobDefinitionName=name, status="ACTIVE")
        if found["jobDefinitions"]:
            arn: str = found["jobDefinitions"][0]["jobDefinitionArn"]
            return arn
        registered: str = call(self._client, "register_job_definition", jobDefinitionName=name, **content)[
            "jobDefinitionArn"
        ]
        return registered

    def require_queue(self) -> None:
        """Raise JobCannotRunError where the queue takes no jobs."""
        found = call(self._client, "describe_job_queues", jobQueues=[settings.job_queue()])["jobQueues"]
        if not found:
            raise JobCannotRunError(f"Batch has no job queue {settings.job_queue()}")
        if (found[0]["state"], found[0]["status"]) != ("ENABLED", "VALID"):
            said = f"{found[0]['state']}, {found[0]['status']}: {found[0].get('statusReason', '')}"
            raise JobCannotRunError(f"the job queue takes no jobs: {said}")

    def terminate(self, job_id: str, run: int) -> int:
        """End all of a run's Batch jobs that have not ended; tell how many there were.

        TerminateJob ends what runs and cancels what waits; CancelJob would leave alone what runs.
        """
        reason = "its job was cancelled or has ended"
        live = [found["jobId"] for found in self._jobs(job_id, run) if found["status"] in _LIVE]
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(lambda job: call(self._client, "terminate_job", jobId=job, reason=reason), live):
                pass
        return len(live)

    def why_failed(self, job_id: str, run: int) -> str:
        """Quote Batch on the first slice that it lists as failed, "" where there is none."""
        failed = next((found["jobId"] for found in self._jobs(job_id, run) if found["status"] == "FAILED"), None)
        if failed is None:
            return ""
        # A list that was filtered by name leaves out the reasons.
        job = call(self._client, "describe_jobs", jobs=[failed])["jobs"][0]
        container = job.get("container", {})
        code = container.get("exitCode")
        reason = job.get("statusReason", "")
        parts = [
            reason,
            container.get("reason"),
            None if code is None else f"exit code {code}",
            _TOO_LARGE if reason.endswith(_MISFITS) else None,
        ]
        said = "; ".join(part for part in parts if part) or "no reason"
        return f"Batch says of slice {job['jobName'].rpartition('-')[2]}: {said}"

    def _jobs(self, job_id: str, run: int) -> Iterator[Mapping[str, Any]]:
        # AWS Batch API, ListJobs: a filter by name, with * at its end, finds jobs of every status.
        parameters: dict[str, Any] = {
            "jobQueue": settings.job_queue(),
            "filters": [{"name": "JOB_NAME", "values": [f"{job_id}-{run}-*"]}],
        }
        while True:
            found = call(self._client, "list_jobs", **parameters)
            yield from found["jobSummaryList"]
            if not found.get("nextToken"):
                return
            parameters["nextToken"] = found["nextToken"]


@cache
def batch() -> Batch:
    """Give the door, made on first use."""
    return Batch()


def _definition(job: Job, config: settings.BatchSettings) -> dict[str, Any]:
    vcpus, memory_mib = container_size(job.bot_vcpu, job.bot_mem)
    container: dict[str, Any] = {
        "image": job.bot_image,
        "resourceRequirements": [
            {"type": "VCPU", "value": str(vcpus)},
            {"type": "MEMORY", "value": str(memory_mib)},
        ],
        "jobRoleArn": config.job_role_arn,
        "executionRoleArn": config.execution_role_arn,
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {"awslogs-group": config.log_group, "awslogs-stream-prefix": job.bot_name},
        },
    }
    command = shlex.split(job.bot_image_cmd)
    if command:
        container["command"] = command
    return {
        "type": "container",
        "platformCapabilities": ["EC2"],
        "containerProperties": container,
        "retryStrategy": _RETRIES,
        "timeout": {"attemptDurationSeconds": ATTEMPT_SECONDS},
        "propagateTags": True,
    }
