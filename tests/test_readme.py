"""The README's commands print what the README says, but for times, ids and versions."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from local import samples
from local.aws import client
from local.stack import listen, stack
from local.template import ROOT
from tests.proxies import SigningProxy

README = (ROOT / "README.md").read_text()
CHANGING = [
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?", "<time>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
    (r'"\d+-\d+\.[0-9a-f]{12}"', "<etag>"),
    (r"(-inference)-[0-9a-f]{12}", r"\1-<hash>"),
    (r"\r", ""),
]


@dataclass(frozen=True)
class Example:
    command: str
    output: str


def examples() -> Iterator[Example]:
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = example.partition("\n")
            yield Example(command, output)


def settled(text: str) -> str:
    for pattern, replacement in CHANGING:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.fixture(scope="module")
def url(signed_opensearch: SigningProxy) -> Iterator[str]:
    with stack(signed_opensearch.url, listen(0), workers=2, extra={"INDEX_PREFIX": "readme"}) as running:
        samples.provide(client("s3", running.aws_url))
        yield running.url


def test_every_call_of_the_api_has_an_example() -> None:
    commands = " ".join(example.command for example in examples())

    assert {"POST", "PUT", "PATCH", "DELETE"} <= set(re.findall(r"-X (\w+)", commands))
    assert "/bots/foo_bot |" in commands
    assert "/bots?" in commands
    assert "-X POST http://127.0.0.1:3000/jobs" in commands
    assert "/files?" in commands
    assert "/health" in commands


def test_the_examples_print_what_they_say(url: str) -> None:
    for example in examples():
        command = example.command.replace("http://127.0.0.1:3000", url)

        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert (run.returncode, run.stderr) == (0, ""), example.command
        assert settled(run.stdout).rstrip() == settled(example.output).rstrip(), example.command


def test_every_target_that_the_readme_names_is_one() -> None:
    makefile = (ROOT / "Makefile").read_text()

    named = set(re.findall(r"(?:`|^|[A-Z]=\S+ )make ([a-z-]+)", README, flags=re.MULTILINE))

    assert {"demo", "test", "run", "clean"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))


def test_every_path_that_the_readme_names_is_there() -> None:
    for path in re.findall(r"`((?:src|byob|docs)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path
