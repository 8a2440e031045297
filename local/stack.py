"""The stack: every part of local mode, started in order, told of one another by environment variables alone."""

import asyncio
import concurrent.futures
import errno
import functools
import json
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette

from local import arns, gateway, template
from local.aws import JOB_ROLE, REGION, ROLE_ARN, EmulatedAws
from local.batch_capacity import LARGEST_INSTANCE
from local.hosts import LOOPBACK, AddressError, reachable
from local.opensearch import SNAPSHOT_REPOSITORY
from local.sagemaker import LocalSageMaker
from local.workers import Workers

DEFAULT_WORKERS: Final = 4
#: Added to the functions' environment: they write to stdout what they write to their log in Lambda.
LOGGING: Final = {"POWERTOOLS_LOG_LEVEL": "INFO", "POWERTOOLS_METRICS_DISABLED": "false"}
_SILENT: Final = {"POWERTOOLS_METRICS_DISABLED": "true"}
#: CloudFormation's word that the stack is there (AWS CloudFormation user guide, "Managing events with EventBridge").
_CREATED: Final = {
    "id": "stack-created",
    "detail-type": "CloudFormation Stack Status Change",
    "source": "aws.cloudformation",
    "detail": {"stack-id": arns.STACK_ID, "status-details": {"status": "CREATE_COMPLETE"}},
}


@dataclass(frozen=True, slots=True)
class Running:
    """Where a started stack answers: the API for callers, AWS's own APIs for whoever wants to look behind it.

    `sagemaker`, and what else is in `aws`, take orders for what shall go wrong there. `environment` is what the
    functions are given.
    """

    url: str
    aws_url: str
    sagemaker: LocalSageMaker
    aws: EmulatedAws
    environment: Mapping[str, str]


class PortInUseError(RuntimeError):
    """Raised when the gateway's port is taken."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is in use; stop what listens there, or choose another one with PORT=…")


def listen(port: int, host: str = LOOPBACK) -> socket.socket:
    """Take the gateway's port (0: any) before anything slow is started; raise PortInUseError or AddressError."""
    # The protocol by its name: asyncio sets TCP_NODELAY only where it is, and without it the second answer on a
    # connection comes 40 ms late.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise AddressError(f"nothing can listen on {host}:{port}: {error.strerror}") from error
        raise PortInUseError(port) from error
    listener.listen(128)
    return listener


@contextmanager
def stack(
    opensearch_url: str,
    listener: socket.socket,
    *,
    workers: int = DEFAULT_WORKERS,
    extra: Mapping[str, str] | None = None,
    moving_seconds: float = 0.0,
    schedule_seconds: float | None = None,
    events: bool = True,
    program: Sequence[str] | None = None,
    pace: float = 1.0,
    timeout_seconds: float | None = None,
) -> Iterator[Running]:
    """Serve the API on `listener`, and AWS's own APIs on the same host, before the registry at `opensearch_url`.

    `extra` adds to or changes the functions' environment. `moving_seconds`: how long an endpoint's moving states last.
    `schedule_seconds`: how often scheduled functions run, None for never. `events`: deliver the changes of state of
    SageMaker and Step Functions. `program`: what Batch runs for every image, None for what the image's name stands for.
    `pace`: what state machines' waits and retry intervals are multiplied by. `timeout_seconds`: of every function, None
    for what the template gives it.
    """
    host, port = listener.getsockname()
    aws = EmulatedAws(host=host, moving_seconds=moving_seconds, program=program, pace=pace)
    environment = environment_of(opensearch_url, aws.url)
    pool = Workers(environment, workers, extra={**_SILENT, **(extra or {})}, timeout_seconds=timeout_seconds)
    document = json.loads((template.ROOT / "docs" / "openapi.json").read_text())
    over = threading.Event()
    schedule = threading.Thread(target=_schedule, args=(pool, schedule_seconds, over), name="schedule", daemon=True)
    if events:
        aws.sagemaker.on_change = aws.stepfunctions.on_change = functools.partial(_publish, pool)
    try:
        aws.start(pool)
        _run(pool, _CREATED, _listeners(_CREATED), wait=True)
        with served(gateway.app(pool, document), listener):
            schedule.start()
            try:
                given = {**environment, **(extra or {})}
                yield Running(f"http://{reachable(host)}:{port}", aws.url, aws.sagemaker, aws, given)
            finally:
                over.set()
                schedule.join()
    finally:
        listener.close()
        aws.quieten()  # first: an event or a task that comes later would start the pool anew
        pool.stop()
        aws.stop()


@contextmanager
def served(application: Starlette, listener: socket.socket) -> Iterator[None]:
    """Serve an application on `listener` in a thread of its own; close it at the end."""
    server = _Server(uvicorn.Config(application, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="gateway", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def environment_of(opensearch_url: str, aws_url: str) -> dict[str, str]:
    """Give what functions are given: what the template sets, with local values, and what Lambda itself sets for all."""
    mapped = [name for name in template.functions()["MapRoles"].environment if name.startswith("ROLES_THAT_")]
    return {
        "OPENSEARCH_URL": opensearch_url,
        "OPENSEARCH_TIMEOUT_SECONDS": "5",
        "INDEX_PREFIX": "byob",
        "PROVISION_FUNCTION": arns.alias(arns.named("ProvisionEndpoint")),
        "FUNCTIONS": ",".join(f"{id}={arns.alias(arns.named(id))}" for id in template.functions()),
        "CONFIGURATION_VERSION": "local",
        "SAGEMAKER_ROLE_ARN": ROLE_ARN,
        "OWNER_TAG": "byob",
        "JOB_DEFINITION_PREFIX": template.variable("PrepareSlices", "JOB_DEFINITION_PREFIX"),
        "BOT_MAX_VCPUS": str(LARGEST_INSTANCE.vcpus),
        "BOT_MAX_MEMORY_MIB": str(LARGEST_INSTANCE.memory_mib),
        "JOB_MAX_VCPUS": "256",
        "STATE_MACHINE_ARN": arns.state_machine(arns.named("JobStateMachine")),
        "JOB_QUEUE_ARN": arns.JOB_QUEUE_ARN,
        "JOB_ROLE_ARN": arns.role(arns.named(JOB_ROLE)),
        "JOB_EXECUTION_ROLE_ARN": arns.role(arns.named("JobExecutionRole")),
        "JOB_LOG_GROUP": arns.JOB_LOG_GROUP,
        "ENDPOINT_WAIT_SECONDS": "7200",
        "SNAPSHOT_REPOSITORY": SNAPSHOT_REPOSITORY,
        "ALLOWED_IMAGE_REGISTRIES": "*",
        "ALLOWED_INSTANCE_TYPES": "*",
        **{name: template.variable("MapRoles", name) for name in mapped},
        "POWERTOOLS_SERVICE_NAME": "byob",
        "POWERTOOLS_METRICS_NAMESPACE": "BringYourOwnBot",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
        **_SILENT,
        "PYDANTIC_DISABLE_PLUGINS": "true",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws_url,
    }


def _schedule(pool: Workers, seconds: float | None, over: threading.Event) -> None:
    while seconds is not None and not over.wait(seconds):
        event = {"id": str(uuid.uuid4()), "detail-type": "Scheduled Event", "source": "aws.events"}
        _run(pool, event, [function for function in template.functions().values() if "Schedule" in function.triggers])


def _publish(pool: Workers, event: Mapping[str, Any]) -> None:
    """Hand an event to every function that has a rule for it."""
    _run(pool, event, _listeners(event))


def _listeners(event: Mapping[str, Any]) -> list[template.Function]:
    return [function for function in template.functions().values() if function.listens_to(event)]


def _run(
    pool: Workers, event: Mapping[str, Any], functions: Sequence[template.Function], *, wait: bool = False
) -> None:
    """Run functions on an event; what fails is said, and nothing else waits for it unless `wait`."""
    begun = [pool.submit(function.handler, event) for function in functions]
    for function, future in zip(functions, begun, strict=True):
        future.add_done_callback(functools.partial(_report, function.id))
    if wait:
        concurrent.futures.wait(begun)


def _report(function: str, done: "Future[Any]") -> None:
    if not done.cancelled() and (error := done.exception()):
        print(f"{function} failed: {error!r}", flush=True)


class _Server(uvicorn.Server):
    """A server in a thread: signals belong to the main thread, which stops it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
