"""A copied bot is somebody else's program: it needs its files and what requirements.txt brings, no more."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.slices import BOT

# What requirements.txt names, and what those bring with them.
BROUGHT = {"boto3", "botocore", "opensearchpy", "requests", "requests_aws4auth"}
MODULES = sorted(BOT.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(BOT)))
def test_a_bot_imports_nothing_of_this_repository(module: Path) -> None:
    tree = ast.parse(module.read_text())

    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    assert {name.partition(".")[0] for name in imported} <= BROUGHT | {"plumbing"} | sys.stdlib_module_names


def test_the_image_holds_every_file_that_the_bot_needs() -> None:
    dockerfile, ignored = (BOT / "Dockerfile").read_text(), (BOT / ".dockerignore").read_text()

    for name in ("requirements.txt", "task.py", "plumbing"):
        assert re.search(rf"^COPY .*\b{re.escape(name)}", dockerfile, flags=re.MULTILINE), name
        assert f"!{name}" in ignored
