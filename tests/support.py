"""What tests share: a client that sends exactly what it is told, and waiting for a condition."""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3

from local.aws import CREDENTIALS, REGION

Result = TypeVar("Result")


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def etag(self) -> str:
        return self.headers["etag"]

    @property
    def pointers(self) -> list[str]:
        """Where a problem document says that something is wrong."""
        return [error["pointer"] for error in self.json["errors"]]


class ApiClient:
    """Sends requests byte for byte: no normalised path, no added header."""

    def __init__(self, url: str, aws_url: str = "") -> None:
        self.url = url
        self._aws_url = aws_url
        self._address = urlsplit(url)

    def __call__(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
        assert self._address.hostname
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = HTTPConnection(self._address.hostname, self._address.port, timeout=60)
        try:
            connection.request(method, path, payload, dict(headers or {}))
            answer = connection.getresponse()
            received = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, received, answer.read())
        finally:
            connection.close()

    def register(self, configuration: Mapping[str, Any]) -> Reply:
        """Register a bot that must be new."""
        reply = self("POST", "/bots", configuration)
        assert reply.status == 201, reply.body
        return reply

    @cached_property
    def sagemaker(self) -> Any:
        """The emulated SageMaker behind the API, for what only its owner sees."""
        return boto3.client(
            "sagemaker",
            endpoint_url=self._aws_url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def endpoint_of(self, name: str) -> Any:
        """Give the state of the only endpoint of a bot."""
        (endpoint,) = self("GET", f"/bots/{name}").json["endpoints"]
        return endpoint


def eventually(look: Callable[[], Result], until: Callable[[Result], bool], seconds: float = 20) -> Result:
    """Look until what is seen will do; fail with what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if until(seen):
            return seen
        assert time.monotonic() < deadline, f"still {seen!r} after {seconds} s"
        time.sleep(0.05)


def at_once(count: int, call: Callable[[int], Result]) -> list[Result]:
    """Make `count` calls at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))
