"""docs/write-a-bot.md: its commands are ones, and the first steps do what it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

from local.template import ROOT
from tests.author import SCRIPT, Kit
from tests.slices import BOT

PAGE = (ROOT / "docs" / "write-a-bot.md").read_text()
COMMANDS = re.findall(r"^python3 byob\.py (.+)$", PAGE, flags=re.MULTILINE)


def test_every_command_is_one_with_these_options() -> None:
    for command in COMMANDS:
        name, *arguments = command.split()

        shown = subprocess.run([sys.executable, SCRIPT, name, "--help"], capture_output=True, text=True, check=True)

        options = {argument for argument in arguments if argument.startswith("--")}
        assert options <= set(re.findall(r"--[a-z-]+", shown.stdout)), command


def test_the_steps_before_aws_do_what_they_say(kit: Kit) -> None:
    init, check = (command.split() for command in COMMANDS[:2])
    kit.write(b"a page", "page.tiff")
    kit.write(b'{"words": ["hello"]}', "answer.json")

    made, checked = kit.run(*init), kit.run(*check, environment={"BYOB_URL": "http://127.0.0.1:9"})

    assert (init[0], made.code) == ("init", 0)
    assert (check[0], checked.code, json.loads(checked.out)) == ("check", 0, {"words": ["hello"]})
    assert "was not checked" in checked.err


def test_every_file_of_the_bot_that_it_names_is_there() -> None:
    named = set(re.findall(r"`bot_docker/([\w./]+)`", PAGE))

    assert named
    assert all((BOT / name).exists() for name in named)


def test_the_main_task_that_comes_with_the_kit_has_the_promised_names() -> None:
    task = Path(BOT / "task.py").read_text()

    assert "def main_task(file_name" in task
    assert "TIMEOUT_SECONDS = " in task
