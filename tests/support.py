"""What tests share: a client that sends exactly what it is told, and waiting for a condition."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import pytest
from botocore.model import ListShape, Shape, StructureShape

from local import events, template
from local.aws import client
from local.identities import keys_of
from local.stack import environment_of
from local.template import ROOT
from local.workers import Workers
from shared import opensearch, settings

Result = TypeVar("Result")
#: Added to the functions' environment, where failures that are looked for would fill the log.
QUIET: Final = {"POWERTOOLS_LOG_LEVEL": "CRITICAL"}


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
        self.aws_url = aws_url
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
        return self.aws("sagemaker")

    def aws(self, service: str) -> Any:
        """Give a client of an emulated service behind the API."""
        return client(service, self.aws_url)

    def endpoint_of(self, name: str) -> Any:
        """Give the state of the only endpoint of a bot."""
        (endpoint,) = self("GET", f"/bots/{name}").json["endpoints"]
        return endpoint


class FunctionLog:
    """What the functions have printed so far: their log, as CloudWatch would keep it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def text(self) -> str:
        """All complete lines."""
        text = self._path.read_text()
        return text[: text.rfind("\n") + 1]

    @property
    def lines(self) -> list[Any]:
        """The lines, each of which must be JSON."""
        return [json.loads(line) for line in self.text.split("\n")[:-1]]

    def of(self, request_id: str) -> list[Any]:
        """What an operator finds by the id of a request."""
        return [line for line in self.lines if request_id in (line.get("correlation_id"), line.get("requested_by"))]

    @property
    def metrics(self) -> list[Any]:
        """The lines in the embedded metric format."""
        return [line for line in self.lines if "_aws" in line]


@contextmanager
def recorded(path: Path) -> Iterator[FunctionLog]:
    """Keep what processes print that are started meanwhile: pass the stack's start in."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    stdout = os.dup(1)
    os.dup2(log, 1)
    try:
        yield FunctionLog(path)
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(log)


def copy_tree(into: Path) -> None:
    """Copy what local mode runs on, so that its source may be edited and its data is its own."""
    for part in ("src", "local", "byob", "docs", "statemachine", "template.yaml", "pyproject.toml"):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, into / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, into / part)


def map_roles(opensearch_url: str, prefix: str) -> Any:
    """Have the real MapRoles, as its own role, map the roles for the indices of a prefix; give what it answers."""
    own = {"INDEX_PREFIX": prefix, "POWERTOOLS_METRICS_DISABLED": "true"}
    environments = Workers(environment_of(opensearch_url, ""), 1, extra=own)
    try:
        return environments.submit("handlers.map_roles.handler", events.sample("map_roles")).result()
    finally:
        environments.stop()


@contextmanager
def in_this_process(
    opensearch_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch, *, function: str, aws_url: str = ""
) -> Iterator[None]:
    """Have the product's code use a registry from this process as a function with its role's keys would."""
    map_roles(opensearch_url, prefix)
    keys = keys_of(template.functions()[function].role)
    for name, value in {**environment_of(opensearch_url, aws_url), **keys, "INDEX_PREFIX": prefix}.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    opensearch.client.cache_clear()
    yield
    opensearch.client().close()
    forget_settings()
    opensearch.client.cache_clear()


def forget_settings() -> None:
    """Have the product's code read its settings from the environment anew."""
    for each in vars(settings).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()


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


def check(value: Any, shape: Shape | None) -> None:
    """Hold a value against its shape: required members, no others than declared, values of an enum."""
    if isinstance(shape, StructureShape):
        assert set(shape.required_members) <= set(value) <= set(shape.members), (shape.name, value)
        for name in value:
            check(value[name], shape.members[name])
    elif isinstance(shape, ListShape):
        for member in value:
            check(member, shape.member)
    elif shape and getattr(shape, "enum", None):
        assert value in shape.enum, (shape.name, value)
