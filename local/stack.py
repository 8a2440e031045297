"""The stack: every part of local mode, started in order, told of one another by environment variables alone."""

import asyncio
import functools
import json
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import uvicorn

from local import gateway, template
from local.aws import CREDENTIALS, REGION, ROLE_ARN, EmulatedAws
from local.sagemaker import LocalSageMaker
from local.workers import Workers

HOST: Final = "127.0.0.1"
DEFAULT_WORKERS: Final = 4


@dataclass(frozen=True, slots=True)
class Running:
    """Where a started stack answers: the API for callers, AWS's own APIs for whoever wants to look behind it.

    `sagemaker` takes orders for what shall go wrong there.
    """

    url: str
    aws_url: str
    sagemaker: LocalSageMaker


class PortInUseError(RuntimeError):
    """Raised when the gateway's port is taken."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is in use; stop what listens there, or choose another one with PORT=…")


def listen(port: int) -> socket.socket:
    """Take the gateway's port (0: any) before anything slow is started; raise PortInUseError."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
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
) -> Iterator[Running]:
    """Serve the API on `listener` before the registry at `opensearch_url`.

    `extra` adds to or changes the functions' environment. `moving_seconds`: how long an endpoint's moving states last.
    `schedule_seconds`: how often scheduled functions run, None for never. `events`: deliver SageMaker's state changes.
    """
    aws = EmulatedAws(moving_seconds=moving_seconds)
    environment = {**environment_of(opensearch_url, aws.url), **(extra or {})}
    pool = Workers(environment, workers)
    document = json.loads((template.ROOT / "docs" / "openapi.json").read_text())
    config = uvicorn.Config(gateway.app(pool, document), log_level="warning", lifespan="off")
    server = _Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="gateway", daemon=True)
    over = threading.Event()
    schedule = threading.Thread(target=_schedule, args=(pool, schedule_seconds, over), name="schedule", daemon=True)
    if events:
        aws.sagemaker.on_change = functools.partial(_deliver, pool, "EventBridgeRule")
    try:
        aws.start(pool)
        pool.warm_up([function.handler for function in template.functions().values()])
        thread.start()
        schedule.start()
        yield Running(f"http://{HOST}:{listener.getsockname()[1]}", aws.url, aws.sagemaker)
    finally:
        over.set()
        if schedule.is_alive():
            schedule.join()
        server.should_exit = True
        if thread.is_alive():
            thread.join()
        listener.close()
        aws.sagemaker.stop()  # first: an event that comes later would start the pool anew
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
        "ALLOWED_IMAGE_REGISTRIES": "*",
        "ALLOWED_INSTANCE_TYPES": "*",
        "POWERTOOLS_SERVICE_NAME": "byob",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws_url,
        **CREDENTIALS,
    }


def _schedule(pool: Workers, seconds: float | None, over: threading.Event) -> None:
    while seconds is not None and not over.wait(seconds):
        _deliver(pool, "Schedule", {"id": str(uuid.uuid4()), "detail-type": "Scheduled Event", "source": "aws.events"})


def _deliver(pool: Workers, trigger: str, event: Mapping[str, Any]) -> None:
    """Run every function that the template has for events of this kind, without waiting for it."""
    for function in template.functions().values():
        if trigger in function.triggers:
            report = functools.partial(_report, function.id)
            pool.submit(function.handler, event).add_done_callback(report)


def _report(function: str, done: "Future[Any]") -> None:
    if not done.cancelled() and (error := done.exception()):
        print(f"{function} failed: {error!r}", flush=True)


class _Server(uvicorn.Server):
    """A server in a thread: signals belong to the main thread, which stops it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
