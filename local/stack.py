"""The stack: every part of local mode, started in order, told of one another by environment variables alone."""

import asyncio
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

from local import arns, gateway, template
from local.aws import CREDENTIALS, REGION, ROLE_ARN, EmulatedAws
from local.hosts import LOOPBACK, AddressError, reachable
from local.sagemaker import LocalSageMaker
from local.workers import Workers

DEFAULT_WORKERS: Final = 4
#: Added to the functions' environment: they write to stdout what they write to their log in Lambda.
LOGGING: Final = {"POWERTOOLS_LOG_LEVEL": "INFO", "POWERTOOLS_METRICS_DISABLED": "false"}


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
    environment = {**environment_of(opensearch_url, aws.url), **(extra or {})}
    pool = Workers(environment, workers, timeout_seconds=timeout_seconds)
    document = json.loads((template.ROOT / "docs" / "openapi.json").read_text())
    config = uvicorn.Config(gateway.app(pool, document), log_level="warning", lifespan="off")
    server = _Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="gateway", daemon=True)
    over = threading.Event()
    schedule = threading.Thread(target=_schedule, args=(pool, schedule_seconds, over), name="schedule", daemon=True)
    if events:
        aws.sagemaker.on_change = aws.stepfunctions.on_change = functools.partial(_publish, pool)
    try:
        aws.start(pool)
        pool.warm_up([function.handler for function in template.functions().values()])
        thread.start()
        schedule.start()
        yield Running(f"http://{reachable(host)}:{port}", aws.url, aws.sagemaker, aws, environment)
    finally:
        over.set()
        if schedule.is_alive():
            schedule.join()
        server.should_exit = True
        if thread.is_alive():
            thread.join()
        listener.close()
        aws.quieten()  # first: an event or a task that comes later would start the pool anew
        pool.stop()
        aws.stop()


def environment_of(opensearch_url: str, aws_url: str) -> dict[str, str]:
    """Give the functions' environment: what the template sets, with local values, and what Lambda itself sets."""
    return {
        "OPENSEARCH_URL": opensearch_url,
        "OPENSEARCH_TIMEOUT_SECONDS": "5",
        "INDEX_PREFIX": "byob",
        "PROVISION_FUNCTION": "ProvisionEndpoint",
        "SAGEMAKER_ROLE_ARN": ROLE_ARN,
        "OWNER_TAG": "byob",
        "STATE_MACHINE_ARN": arns.state_machine(next(iter(template.state_machines()), "Job")),
        "JOB_QUEUE_ARN": arns.JOB_QUEUE_ARN,
        "JOB_ROLE_ARN": arns.role("byob-bot"),
        "JOB_EXECUTION_ROLE_ARN": arns.role("byob-bot-execution"),
        "JOB_LOG_GROUP": arns.JOB_LOG_GROUP,
        "ENDPOINT_WAIT_SECONDS": "7200",
        "ALLOWED_IMAGE_REGISTRIES": "*",
        "ALLOWED_INSTANCE_TYPES": "*",
        "ROLES_THAT_MONITOR": "arn:aws:iam::123456789012:role/byob-health",
        "ROLES_THAT_READ": "arn:aws:iam::123456789012:role/byob-get-bot",
        "ROLES_THAT_WRITE": "arn:aws:iam::123456789012:role/byob-create-bot",
        "ROLES_THAT_RUN_BOTS": "arn:aws:iam::123456789012:role/byob-job",
        "POWERTOOLS_SERVICE_NAME": "byob",
        "POWERTOOLS_METRICS_NAMESPACE": "BringYourOwnBot",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "PYDANTIC_DISABLE_PLUGINS": "true",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws_url,
        **CREDENTIALS,
    }


def _schedule(pool: Workers, seconds: float | None, over: threading.Event) -> None:
    while seconds is not None and not over.wait(seconds):
        event = {"id": str(uuid.uuid4()), "detail-type": "Scheduled Event", "source": "aws.events"}
        _run(pool, event, [function for function in template.functions().values() if "Schedule" in function.triggers])


def _publish(pool: Workers, event: Mapping[str, Any]) -> None:
    """Hand an event to every function that has a rule for it."""
    _run(pool, event, [function for function in template.functions().values() if function.listens_to(event)])


def _run(pool: Workers, event: Mapping[str, Any], functions: Sequence[template.Function]) -> None:
    """Run functions on an event, without waiting for them."""
    for function in functions:
        pool.submit(function.handler, event).add_done_callback(functools.partial(_report, function.id))


def _report(function: str, done: "Future[Any]") -> None:
    if not done.cancelled() and (error := done.exception()):
        print(f"{function} failed: {error!r}", flush=True)


class _Server(uvicorn.Server):
    """A server in a thread: signals belong to the main thread, which stops it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
