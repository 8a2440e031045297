"""build_and_push.sh with an aws and a docker that write down what they are asked."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.slices import BOT

SCRIPT = BOT / "build_and_push.sh"
SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
AWS = """#!/bin/bash
echo "aws $*" >>"$RECORD"
case "$1 $2" in
"configure get") echo "$PROFILE_REGION" ;;
"sts get-caller-identity") [[ $ACCOUNT ]] && echo "$ACCOUNT" ;;
"ecr describe-repositories") [[ -z $REFUSAL ]] || { echo "An error occurred ($REFUSAL)" >&2; exit 254; } ;;
"ecr get-login-password") echo secret-password ;;
esac
"""
DOCKER = """#!/bin/bash
[[ $1 != login ]] || password=" <<<$(cat)"
echo "docker $*$password" >>"$RECORD"
echo "docker says much"
[[ $1 != "$FAILING" ]]
"""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str
    asked: list[str]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, content in (("aws", AWS), ("docker", DOCKER)):
        (tools / name).write_text(content)
        (tools / name).chmod(0o755)
    return tools


def build_and_push(tools: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
    record = tools.parent / "record"
    record.touch()
    settings = {"AWS_REGION": "eu-west-1", "ACCOUNT": "123456789012", "RECORD": str(record)}
    done = subprocess.run(
        [SCRIPT, *arguments],
        env={"PATH": f"{tools}:/usr/bin:/bin", **settings, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr, record.read_text().splitlines())


def test_the_image_is_built_pushed_and_named_alone_on_stdout(tools: Path) -> None:
    ended = build_and_push(tools, "foo_bot", "1.4.0")

    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/foo_bot:1.4.0"
    assert (ended.code, ended.out) == (0, f"{image}\n")
    assert [line for line in ended.asked if line.startswith("docker")] == [
        "docker login --username AWS --password-stdin 123456789012.dkr.ecr.eu-west-1.amazonaws.com <<<secret-password",
        f"docker build --platform linux/amd64 --tag {image} {BOT}",
        f"docker push {image}",
    ]
    assert not any("create-repository" in line for line in ended.asked)


def test_a_repository_that_is_missing_is_created(tools: Path) -> None:
    ended = build_and_push(tools, "foo_bot", environment={"REFUSAL": "RepositoryNotFoundException"})

    created = "aws ecr create-repository --repository-name foo_bot --image-scanning-configuration scanOnPush=true"
    assert (ended.code, created in ended.asked) == (0, True)


def test_another_refusal_creates_nothing_and_is_shown(tools: Path) -> None:
    ended = build_and_push(tools, "foo_bot", environment={"REFUSAL": "AccessDeniedException"})

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "Error: An error occurred (AccessDeniedException)\n"
    assert not any("create-repository" in line or "push" in line for line in ended.asked)


def test_registries_in_china_have_their_own_domain(tools: Path) -> None:
    ended = build_and_push(tools, "foo_bot", environment={"AWS_REGION": "cn-northwest-1"})

    assert ended.out == "123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn/foo_bot:latest\n"


def test_platform_and_base_image_can_be_chosen(tools: Path) -> None:
    environment = {"BASE_IMAGE": "mirror.example/python:3.13-slim"}

    ended = build_and_push(tools, "foo_bot", "7", "linux/arm64", environment=environment)

    (build,) = [line for line in ended.asked if line.startswith("docker build")]
    assert "--platform linux/arm64 " in build
    assert "--build-arg BASE_IMAGE=mirror.example/python:3.13-slim " in build


def test_the_region_of_the_profile_is_the_last_resort(tools: Path) -> None:
    environment = {"AWS_REGION": "", "PROFILE_REGION": "us-east-2"}

    ended = build_and_push(tools, "foo_bot", environment=environment)

    assert ended.out == "123456789012.dkr.ecr.us-east-2.amazonaws.com/foo_bot:latest\n"


@pytest.mark.parametrize("environment", [{"FAILING": "build"}, {"FAILING": "push"}, {"FAILING": "login"}])
def test_no_image_is_named_where_a_step_failed(tools: Path, environment: dict[str, str]) -> None:
    ended = build_and_push(tools, "foo_bot", environment=environment)

    assert (ended.code != 0, ended.out) == (True, "")


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"AWS_REGION": "", "PROFILE_REGION": ""}, "Error: no AWS region: set AWS_REGION\n"),
        ({"ACCOUNT": ""}, "Error: not logged in to AWS\n"),
    ],
)
def test_what_is_missing_is_said(tools: Path, environment: dict[str, str], sentence: str) -> None:
    ended = build_and_push(tools, "foo_bot", environment=environment)

    assert (ended.code, ended.err) == (1, sentence)


def test_without_a_name_it_shows_how_it_is_called(tools: Path) -> None:
    ended = build_and_push(tools)

    assert (ended.code, ended.asked) == (2, [])
    assert "./build_and_push.sh foo_bot 1.4.0" in ended.err


@pytest.mark.skipif(not SHELLCHECK, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    assert SHELLCHECK

    done = subprocess.run([SHELLCHECK, SCRIPT], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")
