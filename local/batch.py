"""AWS Batch on this machine: its API over HTTP, and its jobs as containers, a few at a time.

moto's Batch wants Docker for each job, and IAM and EC2 set up before it; this one knows one queue, container jobs,
attempts, retry rules, time limits, terminating and cancelling, and that a job which no instance can hold blocks those
behind it. What it does not know (arrays, dependencies, EKS, several nodes) it refuses by name.
"""

import json
import math
import shutil
import signal
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from botocore.validate import ParamValidator
from moto.core.utils import get_service_model
from werkzeug.wrappers import Request, Response

from local import arns
from local.batch_capacity import Capacity, cancelled, stuck, unsized
from local.batch_retry import Outcome, is_tried_again, violations
from local.containers import KIT_PROGRAM, Container, docker_has

DEFAULT_AT_ONCE: Final = 4
#: Between SIGTERM and SIGKILL, as Batch leaves it (AWS Batch user guide, "Job timeouts").
STOP_SECONDS: Final = 30.0
_COMPUTE_ENVIRONMENT: Final = "byob"
_MIN_TIMEOUT_SECONDS: Final = 60
_PAGE: Final = 100
_LOG_TAIL_BYTES: Final = 2000
_LOOK_SECONDS: Final = 0.2  # how soon a running container hears that its job is terminated
_WAITING: Final = frozenset({"SUBMITTED", "PENDING", "RUNNABLE"})
_OVER: Final = frozenset({"SUCCEEDED", "FAILED"})
_UNKNOWN_TO_US: Final = (
    "arrayProperties",
    "dependsOn",
    "nodeOverrides",
    "eksPropertiesOverride",
    "ecsPropertiesOverride",
)


def _now() -> int:
    return int(time.time() * 1000)


@dataclass(slots=True)
class _Job:
    id: str
    arn: str
    name: str
    definition: str
    image: str
    command: list[str]
    environment: dict[str, str]
    container: dict[str, Any]
    retry: dict[str, Any]
    timeout_seconds: int | None
    parameters: dict[str, str]
    tags: dict[str, str]
    number: int
    status: str = "SUBMITTED"
    status_reason: str = ""
    attempts: list[dict[str, Any]] = field(default_factory=list)
    created_at: int = field(default_factory=_now)
    started_at: int | None = None
    stopped_at: int | None = None
    stuck_since: float | None = None  # time.monotonic(), once it is at the head of the queue and fits nowhere
    is_cancelled: bool = False
    is_terminated: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)


class _Refusal(Exception):  # noqa: N818 - an answer of the API, not a failure of ours
    """Raised for what Batch answers with a ClientException."""


class LocalBatch:
    """Answers Batch's API and runs its jobs, at most `at_once` containers at a time.

    `environment` is what every container has besides its job's own: credentials, region, where AWS answers. `program`
    runs in place of every image; without it, an image that Docker has is run by Docker, any other by the kit's task.py.
    A container that dies of SIGKILL counts as one whose host was taken away, as Spot does. `capacity` is the compute
    environment's; `time_limits` are the queue's JobStateTimeLimitActions: seconds after which a job that is stuck for a
    reason is cancelled. `timeout_factor` shortens them and the jobs' own, of which Batch takes none under a minute.
    """

    def __init__(
        self,
        *,
        capacity: Capacity,
        time_limits: Mapping[str, int],
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] | None = None,
        at_once: int = DEFAULT_AT_ONCE,
        stop_seconds: float = STOP_SECONDS,
        timeout_factor: float = 1.0,
    ) -> None:
        self.capacity = capacity
        self.time_limits = time_limits
        self.program = program
        self.stop_seconds = stop_seconds
        self.timeout_factor = timeout_factor
        self.environment = dict(environment or {})
        self._arns = f"arn:aws:batch:{arns.REGION}:{arns.ACCOUNT}"
        self._changed = threading.Condition()  # guards everything here
        self._jobs: dict[str, _Job] = {}  # in the order of their creation
        self._definitions: dict[str, list[dict[str, Any]]] = {}
        self._runnable: deque[_Job] = deque()
        self._running: dict[str, Container] = {}
        self._stopped = False
        self._logs = Path()
        # Each container is a child of the thread that started it, which must live as long (see leash.py).
        self._hosts = [threading.Thread(target=self._host, name=f"batch-{n}", daemon=True) for n in range(at_once)]

    def start(self) -> None:
        """Begin to run jobs."""
        self._logs = Path(tempfile.mkdtemp(prefix="byob-batch-"))
        for host in self._hosts:
            host.start()

    def stop(self) -> None:
        """End all containers at once; jobs that wait never run. May be called twice, or without a start."""
        with self._changed:
            self._stopped = True
            for job in self._jobs.values():
                job.stop.set()
                job.over.set()
            for container in self._running.values():
                container.kill()
            self._changed.notify_all()
        for host in self._hosts:
            if host.is_alive():
                host.join()
        if self._logs != Path():
            shutil.rmtree(self._logs, ignore_errors=True)

    # What the runner of state machines and tests ask directly.

    def wait(self, job_id: str, seconds: float) -> bool:
        """Tell whether a job is over, waiting for it that long; an unknown one is."""
        job = self._jobs.get(job_id)
        return job is None or job.over.wait(seconds)

    def process_of(self, job_id: str) -> int | None:
        """Give the process that runs a job now."""
        with self._changed:
            container = self._running.get(job_id)
            return container.pid if container else None

    def log_of(self, job_id: str) -> str:
        """Give what all attempts of a job have written so far."""
        with suppress(FileNotFoundError):
            return self._log(job_id).read_text(errors="replace")
        return ""

    # The API.

    @staticmethod
    def answers(path: str) -> bool:
        """Tell whether this is a path of Batch's API."""
        return path in _OPERATIONS

    def answer(self, environ: dict[str, Any]) -> Response:
        """Answer one request of Batch's REST-JSON protocol."""
        request = Request(environ)
        operation = _OPERATIONS[request.path]
        given = request.get_json(force=True) if request.data else {}
        try:
            _refuse_misshapen(operation, given)
            with self._changed:
                body = _ANSWERS[operation](self, given)
        except _Refusal as refusal:
            headers = {"x-amzn-ErrorType": "ClientException", "x-amzn-RequestId": str(uuid4())}
            return _json({"message": str(refusal)}, HTTPStatus.BAD_REQUEST, headers)
        return _json(body, HTTPStatus.OK, {"x-amzn-RequestId": str(uuid4())})

    def _describe_job_queues(self, given: dict[str, Any]) -> dict[str, Any]:
        queue = {
            "jobQueueName": arns.JOB_QUEUE,
            "jobQueueArn": arns.JOB_QUEUE_ARN,
            "state": "ENABLED",
            "status": "VALID",
            "statusReason": "JobQueue Healthy",
            "priority": 1,
            "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": _COMPUTE_ENVIRONMENT}],
        }
        asked = given.get("jobQueues", [arns.JOB_QUEUE])
        return {"jobQueues": [queue] if {arns.JOB_QUEUE, arns.JOB_QUEUE_ARN} & set(asked) else []}

    def _register_job_definition(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["type"] != "container" or "containerProperties" not in given:
            raise _Refusal("local Batch knows job definitions of type container, with containerProperties, alone")
        _refuse(unsized(given["containerProperties"]))
        _refuse(violations(given.get("retryStrategy", {})))
        _refuse(_timeout_violations(given.get("timeout", {})))
        name = given["jobDefinitionName"]
        revisions = self._definitions.setdefault(name, [])
        revision = len(revisions) + 1
        arn = f"{self._arns}:job-definition/{name}:{revision}"
        revisions.append(
            {
                "parameters": {},
                "tags": {},
                **given,
                "jobDefinitionArn": arn,
                "revision": revision,
                "status": "ACTIVE",
                "containerOrchestrationType": "ECS",
            }
        )
        return {"jobDefinitionName": name, "jobDefinitionArn": arn, "revision": revision}

    def _describe_job_definitions(self, given: dict[str, Any]) -> dict[str, Any]:
        every = [definition for revisions in self._definitions.values() for definition in revisions]
        if named := given.get("jobDefinitions"):
            asked = {name if name.startswith("arn:") else f"{self._arns}:job-definition/{name}" for name in named}
            return {"jobDefinitions": [found for found in every if found["jobDefinitionArn"] in asked]}
        wanted = given.get("jobDefinitionName"), given.get("status")
        kept = [
            definition
            for definition in every
            if wanted[0] in (None, definition["jobDefinitionName"]) and wanted[1] in (None, definition["status"])
        ]
        start, size = int(given.get("nextToken", 0)), min(given.get("maxResults", _PAGE), _PAGE)
        page: dict[str, Any] = {"jobDefinitions": kept[start : start + size]}
        if len(kept) > start + size:
            page["nextToken"] = str(start + size)
        return page

    def _deregister_job_definition(self, given: dict[str, Any]) -> dict[str, Any]:
        self._definition(given["jobDefinition"])["status"] = "INACTIVE"
        return {}

    def _submit_job(self, given: dict[str, Any]) -> dict[str, Any]:
        _refuse([f"local Batch knows no {name}" for name in _UNKNOWN_TO_US if given.get(name)])
        self._refuse_other_queue(given["jobQueue"])
        definition = self._definition(given["jobDefinition"])
        if definition["status"] != "ACTIVE":
            raise _Refusal(f"Job definition {definition['jobDefinitionArn']} is not ACTIVE")
        retry = given.get("retryStrategy") or definition.get("retryStrategy") or {"attempts": 1}
        timeout = given.get("timeout") or definition.get("timeout") or {}
        _refuse([*violations(retry), *_timeout_violations(timeout)])
        properties, overrides = definition["containerProperties"], given.get("containerOverrides", {})
        parameters = {**definition["parameters"], **given.get("parameters", {})}
        environment = {
            variable["name"]: variable["value"]
            for variable in (*properties.get("environment", []), *overrides.get("environment", []))
        }
        id = str(uuid4())
        job = _Job(
            id=id,
            arn=f"{self._arns}:job/{id}",
            name=given["jobName"],
            definition=definition["jobDefinitionArn"],
            image=properties.get("image", ""),
            command=[_filled(part, parameters) for part in overrides.get("command", properties.get("command", []))],
            environment=environment,
            container={**properties, **overrides},
            retry=retry,
            timeout_seconds=timeout.get("attemptDurationSeconds"),
            parameters=parameters,
            tags=given.get("tags", {}),
            number=len(self._jobs),
        )
        self._jobs[id] = job
        self._queue(job)
        return {"jobArn": job.arn, "jobName": job.name, "jobId": id}

    def _describe_jobs(self, given: dict[str, Any]) -> dict[str, Any]:
        if len(given["jobs"]) > _PAGE:
            raise _Refusal(f"jobs takes up to {_PAGE} ids")
        asked = [id.rpartition("/")[2] for id in given["jobs"]]
        return {"jobs": [self._detail(self._jobs[id]) for id in asked if id in self._jobs]}

    def _list_jobs(self, given: dict[str, Any]) -> dict[str, Any]:
        if "jobQueue" not in given:
            raise _Refusal("jobQueue is missing; local Batch knows no array or multi-node jobs")
        self._refuse_other_queue(given["jobQueue"])
        filters = given.get("filters", [])
        if len(filters) > 1:
            raise _Refusal("only one filter can be used at a time")
        status = given.get("jobStatus", "RUNNING")
        keeps = _filter(**filters[0]) if filters else (lambda job: job.status == status)
        # By age, not by place: a job that comes, or changes its status, while someone pages shifts nothing.
        newest = int(given.get("nextToken", len(self._jobs)))
        found = [job for job in reversed(self._jobs.values()) if job.number <= newest and keeps(job)]
        size = min(given.get("maxResults", _PAGE), _PAGE)
        page: dict[str, Any] = {"jobSummaryList": [_summary(job) for job in found[:size]]}
        if len(found) > size:
            page["nextToken"] = str(found[size].number)
        return page

    def _cancel_job(self, given: dict[str, Any]) -> dict[str, Any]:
        job = self._job(given["jobId"])
        if job.status in _WAITING:
            job.is_cancelled = True
            self._runnable.remove(job)
            self._finish(job, "FAILED", given["reason"])
        return {}

    def _terminate_job(self, given: dict[str, Any]) -> dict[str, Any]:
        job = self._job(given["jobId"])
        if job.status in _OVER:
            return {}
        job.is_terminated = True
        if job.status in _WAITING:
            self._runnable.remove(job)
            self._finish(job, "FAILED", given["reason"])
            return {}
        job.status_reason = given["reason"]
        job.stop.set()
        return {}

    def _definition(self, named: str) -> dict[str, Any]:
        """Find a definition by its ARN, `name:revision`, or name, which means its newest active revision."""
        name, _, revision = named.rpartition("/")[2].partition(":")
        revisions = self._definitions.get(name, [])
        if not revision:
            revisions = [definition for definition in revisions if definition["status"] == "ACTIVE"]
        found = [definition for definition in revisions if revision in ("", str(definition["revision"]))]
        if not found:
            raise _Refusal(f"JobDefinition {named} not found")
        return found[-1]

    def _job(self, named: str) -> _Job:
        try:
            return self._jobs[named.rpartition("/")[2]]
        except KeyError:
            raise _Refusal(f"Job {named} not found") from None

    def _refuse_other_queue(self, named: str) -> None:
        if named not in (arns.JOB_QUEUE, arns.JOB_QUEUE_ARN):
            raise _Refusal(f"JobQueue {named} not found")

    def _detail(self, job: _Job) -> dict[str, Any]:
        environment = [{"name": name, "value": value} for name, value in job.environment.items()]
        last = job.attempts[-1]["container"] if job.attempts and job.status in _OVER else {}
        return {
            **_summary(job),
            "jobQueue": arns.JOB_QUEUE_ARN,
            "attempts": job.attempts,
            "retryStrategy": job.retry,
            "dependsOn": [],
            "parameters": job.parameters,
            "container": {**job.container, "command": job.command, "environment": environment, **last},
            "timeout": {} if job.timeout_seconds is None else {"attemptDurationSeconds": job.timeout_seconds},
            "tags": job.tags,
            "isCancelled": job.is_cancelled,
            "isTerminated": job.is_terminated,
        }

    # The hosts.

    def _queue(self, job: _Job) -> None:
        job.status = "RUNNABLE"
        self._runnable.append(job)
        self._changed.notify_all()

    def _finish(self, job: _Job, status: str, reason: str) -> None:
        job.status, job.status_reason, job.stopped_at = status, reason, _now()
        job.over.set()
        self._changed.notify_all()

    def _next(self) -> _Job | None:
        """Wait for a job that can be placed, in the order of the queue, and take it; None once all is stopped."""
        while not self._stopped:
            if not self._runnable:
                self._changed.wait()
                continue
            head = self._runnable[0]
            reason = self.capacity.refusal(head.container["resourceRequirements"])
            if not reason:
                return self._runnable.popleft()
            now = time.monotonic()
            head.stuck_since, head.status_reason = head.stuck_since or now, stuck(reason)
            limit = self.time_limits.get(reason)
            left = None if limit is None else head.stuck_since + limit * self.timeout_factor - now
            if left is None or left > 0:
                self._changed.wait(left)
            else:
                head.is_cancelled = True
                self._runnable.remove(head)
                self._finish(head, "FAILED", cancelled(reason))
        return None

    def _host(self) -> None:
        while True:
            with self._changed:
                job = self._next()
                if job is None:
                    return
                job.status = "STARTING"
            try:
                self._attempt(job)
            except Exception as error:  # noqa: BLE001 - a job that cannot be started must not end its host
                traceback.print_exc()
                with self._changed:
                    self._finish(job, "FAILED", f"Task failed to start: {error}")

    def _attempt(self, job: _Job) -> None:
        number = len(job.attempts) + 1
        own = {
            "AWS_BATCH_JOB_ID": job.id,
            "AWS_BATCH_JOB_ATTEMPT": str(number),
            "AWS_BATCH_CE_NAME": _COMPUTE_ENVIRONMENT,
            "AWS_BATCH_JQ_NAME": arns.JOB_QUEUE,
        }
        image = job.image if self.program is None and docker_has(job.image) else None
        program = [] if image else self.program or KIT_PROGRAM
        environment = {**self.environment, **job.environment, **own}
        name = f"byob-{job.id}-{number}"
        with self._changed:
            if self._stopped:
                return
            container = Container(name, [*program, *job.command], environment, self._log(job.id), image=image)
            self._running[job.id] = container
            job.status, started = "RUNNING", _now()
            job.started_at = started
        code, timed_out = self._watch(job, container)
        with self._changed:
            del self._running[job.id]
            outcome = _outcome(job, container, code, timed_out=timed_out)
            shown = {"taskArn": f"arn:aws:ecs:task/{job.id}-{number}", "logStreamName": f"{name}/default"}
            if outcome.exit_code is not None:
                shown["exitCode"] = outcome.exit_code  # type: ignore[assignment]
            if outcome.reason:
                shown["reason"] = outcome.reason
            job.attempts.append(
                {"container": shown, "startedAt": started, "stoppedAt": _now(), "statusReason": outcome.status_reason}
            )
            if self._stopped:
                return
            if code == 0 and not job.is_terminated and not timed_out:
                self._finish(job, "SUCCEEDED", outcome.status_reason)
                return
            final = job.is_terminated or timed_out or not is_tried_again(job.retry, number, outcome)
            if final:
                self._finish(job, "FAILED", outcome.status_reason)
            else:
                job.status_reason = outcome.status_reason
                self._queue(job)
        if not job.is_terminated:
            self._tell(job, number, outcome)

    def _watch(self, job: _Job, container: Container) -> tuple[int, bool]:
        """Wait for a container to end, or end it: when its time is over, or when its job is terminated."""
        limit = math.inf if job.timeout_seconds is None else job.timeout_seconds * self.timeout_factor
        deadline = time.monotonic() + limit
        while (code := container.wait(_LOOK_SECONDS)) is None:
            if job.stop.is_set() or time.monotonic() > deadline:
                break
        else:
            return code, False
        timed_out = not job.stop.is_set()
        container.terminate()
        code = container.wait(0 if self._stopped else self.stop_seconds)
        if code is None:
            container.kill()
            code = container.wait(None)
        assert code is not None
        return code, timed_out

    def _log(self, job_id: str) -> Path:
        return self._logs / f"{job_id}.log"

    def _tell(self, job: _Job, number: int, outcome: Outcome) -> None:
        """Show at the terminal what a failed attempt wrote last, as one would look it up in CloudWatch."""
        ended = outcome.reason or outcome.status_reason
        code = "" if outcome.exit_code is None else f", exit code {outcome.exit_code}"
        print(f"batch job {job.name}, attempt {number}: {ended}{code}", flush=True)
        tail = self.log_of(job.id)[-_LOG_TAIL_BYTES:].strip()
        if tail:
            print("\n".join(f"  | {line}" for line in tail.splitlines()[-10:]), flush=True)


def _outcome(job: _Job, container: Container, code: int, *, timed_out: bool) -> Outcome:
    exit_code = 128 + signal.SIGKILL if code == -signal.SIGKILL else code
    if job.is_terminated:
        return Outcome(job.status_reason, exit_code=exit_code)
    if timed_out:
        return Outcome("Job attempt duration exceeded timeout", exit_code=exit_code)
    if container.engine_failed:
        return Outcome("Task failed to start", f"CannotPullContainerError: Docker could not start {job.image}")
    if code == -signal.SIGKILL:
        return Outcome(f"Host EC2 (instance i-{uuid4().hex[:17]}) terminated.")
    return Outcome("Essential container in task exited", exit_code=exit_code)


def _filter(name: str = "", values: Sequence[str] = ()) -> Callable[[_Job], bool]:
    """Make ListJobs' filter (Batch API, ListJobs, `filters`)."""
    if not values:
        raise _Refusal("a filter needs a value")
    value = values[0]
    exact, prefix = value.lower(), value[:-1].lower() if value.endswith("*") else None
    if name == "JOB_NAME":
        return lambda job: job.name.lower() == exact if prefix is None else job.name.lower().startswith(prefix)
    if name == "JOB_DEFINITION":
        if value.startswith("arn:"):
            return lambda job: job.definition == value
        start = value[:-1] if value.endswith("*") else f"{value}:"
        return lambda job: job.definition.rpartition("/")[2].startswith(start)
    if name == "BEFORE_CREATED_AT":
        return lambda job: job.created_at < int(value)
    if name == "AFTER_CREATED_AT":
        return lambda job: job.created_at > int(value)
    raise _Refusal(f"local Batch knows no filter {name}")


def _summary(job: _Job) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "jobArn": job.arn,
        "jobId": job.id,
        "jobName": job.name,
        "createdAt": job.created_at,
        "status": job.status,
        "jobDefinition": job.definition,
    }
    optional = {"statusReason": job.status_reason, "startedAt": job.started_at, "stoppedAt": job.stopped_at}
    shown |= {name: value for name, value in optional.items() if value}
    if job.attempts and job.status in _OVER:
        last = job.attempts[-1]["container"]
        shown["container"] = {name: last[name] for name in ("exitCode", "reason") if name in last}
    return shown


def _refuse_misshapen(operation: str, given: Any) -> None:
    report = ParamValidator().validate(given, get_service_model("batch").operation_model(operation).input_shape)
    if report.has_errors():
        raise _Refusal(report.generate_report())


def _refuse(wrong: Sequence[str]) -> None:
    if wrong:
        raise _Refusal("; ".join(wrong))


def _timeout_violations(timeout: Mapping[str, Any]) -> list[str]:
    seconds = timeout.get("attemptDurationSeconds")
    if seconds is None or seconds >= _MIN_TIMEOUT_SECONDS:
        return []
    return [f"timeout.attemptDurationSeconds must be at least {_MIN_TIMEOUT_SECONDS}, was {seconds}"]


def _filled(part: str, parameters: Mapping[str, str]) -> str:
    """Put a job's parameters in place of Ref::name (Batch user guide, "Job definition parameters")."""
    return parameters.get(part.removeprefix("Ref::"), part) if part.startswith("Ref::") else part


def _json(body: Any, status: HTTPStatus, headers: Mapping[str, str]) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")


_ANSWERS: Final[Mapping[str, Callable[[LocalBatch, dict[str, Any]], dict[str, Any]]]] = {
    "DescribeJobQueues": LocalBatch._describe_job_queues,
    "RegisterJobDefinition": LocalBatch._register_job_definition,
    "DescribeJobDefinitions": LocalBatch._describe_job_definitions,
    "DeregisterJobDefinition": LocalBatch._deregister_job_definition,
    "SubmitJob": LocalBatch._submit_job,
    "DescribeJobs": LocalBatch._describe_jobs,
    "ListJobs": LocalBatch._list_jobs,
    "CancelJob": LocalBatch._cancel_job,
    "TerminateJob": LocalBatch._terminate_job,
}
_OPERATIONS: Final = {f"/v1/{operation.lower()}": operation for operation in _ANSWERS}
