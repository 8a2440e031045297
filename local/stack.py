"""The stack: every part of local mode, started in order, told of one another by environment variables alone."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn

from local import gateway, template
from local.aws import CREDENTIALS, REGION, EmulatedAws
from local.workers import Workers

HOST: Final = "127.0.0.1"
DEFAULT_WORKERS: Final = 4


@dataclass(frozen=True, slots=True)
class Running:
    """Where a started stack answers: the API for callers, AWS's own APIs for whoever wants to look behind it."""

    url: str
    aws_url: str


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
) -> Iterator[Running]:
    """Serve the API on `listener` before the registry at `opensearch_url`.

    `extra` adds to or changes the functions' environment.
    """
    aws = EmulatedAws()
    environment = {**environment_of(opensearch_url, aws.url), **(extra or {})}
    pool = Workers(environment, workers)
    document = json.loads((template.ROOT / "docs" / "openapi.json").read_text())
    config = uvicorn.Config(gateway.app(pool, document), log_level="warning", lifespan="off")
    server = _Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="gateway", daemon=True)
    try:
        aws.start(pool)
        pool.warm_up([function.handler for function in template.functions().values()])
        thread.start()
        yield Running(f"http://{HOST}:{listener.getsockname()[1]}", aws.url)
    finally:
        server.should_exit = True
        if thread.is_alive():
            thread.join()
        listener.close()
        pool.stop()
        aws.stop()


def environment_of(opensearch_url: str, aws_url: str) -> dict[str, str]:
    """Give the functions' environment: what the template sets, with local values, and what Lambda itself sets."""
    return {
        "OPENSEARCH_URL": opensearch_url,
        "OPENSEARCH_TIMEOUT_SECONDS": "5",
        "INDEX_PREFIX": "byob",
        "PROVISION_FUNCTION": "ProvisionEndpoint",
        "SAGEMAKER_ROLE_ARN": "arn:aws:iam::000000000000:role/byob-endpoint",
        "OWNER_TAG": "byob",
        "POWERTOOLS_SERVICE_NAME": "byob",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_SAGEMAKER": aws_url,
        "AWS_ENDPOINT_URL_LAMBDA": aws_url,
        **CREDENTIALS,
    }


class _Server(uvicorn.Server):
    """A server in a thread: signals belong to the main thread, which stops it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
