"""Whether the built functions in Lambda's containers answer what the handlers answer here: `make sam-check`.

Two stacks that are equal and new live the same life. Behind the one, every function runs in a container that
`sam local` starts; behind the other, as a process of local mode.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests
import rich

from local import events, sam, template
from local.aws import client
from local.demo import KIT
from local.hosts import EVERYWHERE, LOOPBACK, for_containers
from local.opensearch import DEFAULT_CACHE, OpenSearchNode
from local.stack import Running, listen, stack

SAM: Final = template.ROOT / ".tools" / "sam" / "bin" / "sam"
_START_SECONDS: Final = 60
_HTTP_SECONDS: Final = 60
# What two equal lives differ in: when things happened, the part of an ETag that follows from it (the endpoints' state),
# and the ids that a gateway gives to requests.
_BY_NATURE: Final = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?"), "<time>"),
    (re.compile(r'(?<="\d-\d\.)[0-9a-f]{12}(?=")'), "<state>"),
    (re.compile(r'(?<="request_id": ")[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=")'), "<id>"),
    # Each side has indices of its own, and another address for what answers nobody (events.ALONE).
    (re.compile(r"^(containers|here)(?=-items$)"), "<prefix>"),
    (re.compile(r"http://[\d.]+:9(?=/)"), "<nowhere>"),
)
_HEADERS: Final = ("Content-Type", "Cache-Control", "ETag", "Location", "Allow", "Retry-After")


class SamError(RuntimeError):
    """Raised when `sam local` does not run, with the reason that it gave."""


@dataclass(frozen=True, slots=True)
class _Sides:
    """Both stacks: the one whose functions run in containers, by `template`, and the one whose functions run here."""

    containers: Running
    here: Running
    template: Path


def check() -> bool:
    """Compare every sample event's answer, then a round over HTTP; print a line each, and tell whether all are equal.

    Raises SamError, NotBuiltError, AddressError.
    """
    with _sides() as sides:
        print("sam local invoke: the sample events, in the order of a bot's life")
        invoked = [_compare(*_invoke(sides, name)) for name in events.LIFE]
        print("sam local start-api: a bot's life over HTTP")
        with _api(sides.template) as url:
            called = [_compare(*_call(sides, url, *call)) for call in _calls()]
    return all([*invoked, *called])


@contextmanager
def _sides() -> Iterator[_Sides]:
    address = for_containers(EVERYWHERE)
    data = Path(tempfile.mkdtemp(prefix="byob-sam-"))
    print(f"starting two local stacks; whoever reaches {address} may use the one until this ends", file=sys.stderr)
    try:
        with (
            listen(0, address) as one,
            listen(0) as other,
            OpenSearchNode(data / "opensearch", DEFAULT_CACHE, host=address) as node,
            # One worker serves first come, first served, and nobody else acts: both lives take the same steps.
            stack(
                node.url, one, workers=1, extra={"INDEX_PREFIX": "containers", **events.ALONE}, events=False
            ) as containers,
            stack(node.url, other, workers=1, extra={"INDEX_PREFIX": "here", **events.ALONE}, events=False) as here,
        ):
            events.make_buckets(client("s3", here.aws_url))  # moto has one S3 for both
            sam.write_template(data / "template.yaml", containers.environment, address)
            yield _Sides(containers, here, data / "template.yaml")
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _invoke(sides: _Sides, name: str) -> tuple[str, Any, Any]:
    function = events.function_of(name)
    payload = json.dumps(events.sample(name))
    here = json.loads(
        client("lambda", sides.here.aws_url).invoke(FunctionName=function.id, Payload=payload)["Payload"].read()
    )
    command = ["local", "invoke", function.id, "--event", str(events.FOLDER / f"{name}.json")]
    run = subprocess.run(_sam(*command, template=sides.template), capture_output=True, text=True, check=False)
    if run.returncode or not run.stdout.strip():
        raise SamError(_reason(run.stderr))
    _let_finish(sides)
    return function.id, json.loads(run.stdout), here


def _let_finish(sides: _Sides) -> None:
    """Wait for what the last call had done in the background: the function's one environment answers this after it."""
    for running in (sides.containers, sides.here):
        client("lambda", running.aws_url).invoke(FunctionName="ProvisionEndpoint", Payload=b'{"endpoints": []}')


@contextmanager
def _api(template_file: Path) -> Iterator[str]:
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    log = template_file.with_name("start-api.log")
    command = _sam("local", "start-api", "--host", LOOPBACK, "--port", str(port), template=template_file)
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            _wait_for(port, process, log)
            yield f"http://{LOOPBACK}:{port}"
        finally:
            process.terminate()  # sam removes its containers on its way out


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SamError(_reason(log.read_text())) from None
            time.sleep(0.2)
        else:
            return


def _calls() -> list[tuple[str, str, Any]]:
    bot = json.loads((KIT / "bot_config.json").read_text())
    path = f"/bots/{bot['name']}"
    return [
        ("POST", "/bots", bot),
        ("GET", path, None),
        ("GET", "/bots?limit=10&file_type=.jpg", None),
        ("PATCH", path, {"bot_vcpu": 0}),
        ("DELETE", path, None),
        ("GET", path, None),
        ("PUT", "/bots", bot),
    ]


def _call(sides: _Sides, url: str, method: str, path: str, body: Any) -> tuple[str, Any, Any]:
    answers = []
    for root in (url, sides.here.url):
        reply = requests.request(method, root + path, json=body, timeout=_HTTP_SECONDS)
        # start-api gives a type also to what has no body.
        seen = _HEADERS if reply.content else [name for name in _HEADERS if name != "Content-Type"]
        headers = {name: reply.headers[name] for name in seen if name in reply.headers}
        answers.append({"statusCode": reply.status_code, "headers": headers, "body": reply.text})
    _let_finish(sides)
    return f"{method} {path}", answers[0], answers[1]


def _compare(what: str, container: Any, here: Any) -> bool:
    status = container.get("statusCode", 200)
    equal = bool(_settled(container) == _settled(here))
    word = "[red]failed[/]   " if status >= 500 else "[green]equal[/]    " if equal else "[red]different[/]"
    rich.print(f"  {word} {what} {status}")
    if not equal:
        print(f"            in the container: {json.dumps(_settled(container))}")
        print(f"            here:             {json.dumps(_settled(here))}")
    return equal and bool(status < 500)


def _settled(value: Any) -> Any:
    """Take out what differs by nature, inside bodies as well."""
    if isinstance(value, dict):
        return {name: _settled(item) for name, item in value.items()}
    if isinstance(value, str):
        for pattern, word in _BY_NATURE:
            value = pattern.sub(word, value)
    return value


def _sam(*arguments: str, template: Path) -> list[str]:
    # An image that is missing is pulled all the same; one that is there is not looked for in the registry each time.
    return [str(SAM), *arguments, "--template", str(template), "--skip-pull-image"]


def _reason(log: str) -> str:
    """Give the sentence with which `sam` ended, else the end of its log."""
    errors = re.findall(r"^Error: (.+)$", log, flags=re.MULTILINE)
    if errors and "container runtime" in errors[-1]:
        return f"sam local needs a container engine ({errors[-1]}); start one, or name its socket with DOCKER_HOST"
    return f"sam local: {errors[-1]}" if errors else "sam local ended with:\n" + "\n".join(log.splitlines()[-20:])
