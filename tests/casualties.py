"""Workers killed and files that go wrong: what the tests of the kit's worker and those of the whole stack share."""

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from moto.s3.models import s3_backends

from local.arns import ACCOUNT
from local.aws import make_bucket
from local.stack import Running, listen, stack
from tests.slices import Bot
from tests.support import ApiClient

PREFIX: Final = "casualties"
_numbers = itertools.count(1)
LOG_THE_FILE: Final = """
def main_task(file_name):
    key = Path(file_name).read_text()
    with open(LOG, "a") as log:
        log.write(key + chr(10))
    return {"key": key}
"""
TWO_BAD_ONES: Final = """
def main_task(file_name):
    key = Path(file_name).read_text()
    with open(LOG, "a") as log:
        log.write(key + chr(10))
    if key == "raises.txt":
        raise ValueError("no page found")
    while key == "hangs.txt":
        time.sleep(1)
    return {"key": key}
"""


def with_two_bad_ones(files: int) -> tuple[list[str], list[str]]:
    """Name so many files, of which TWO_BAD_ONES takes two amiss; give all, and those that are well."""
    keys = [f"{number:04}.txt" for number in range(files - 2)]
    return [*keys[: files // 2], "raises.txt", "hangs.txt", *keys[files // 2 :]], keys


def reasons_of_the_bad_ones(timeout_seconds: float) -> dict[str, tuple[str, str]]:
    """Give the error's code and sentence that each of the two has."""
    return {
        "raises.txt": ("ValueError", "no page found"),
        "hangs.txt": ("Timeout", f"main_task took longer than {timeout_seconds} s (TIMEOUT_SECONDS in task.py)"),
    }


@dataclass(frozen=True)
class Kills:
    """What was seen while workers were killed: what was COMPLETED at each kill, and how far the calls' log was then."""

    completed: list[set[str]] = field(default_factory=list)
    calls_until_then: list[int] = field(default_factory=list)

    def done_again(self, calls: list[str]) -> set[str]:
        """Give the files for which main_task was called after they were seen COMPLETED."""
        seen = zip(self.completed, self.calls_until_then, strict=True)
        return {key for completed, until_then in seen for key in completed.intersection(calls[until_then:])}


@dataclass(frozen=True)
class Site:
    """A whole stack whose every container runs a bot of the test's own."""

    running: Running
    api: ApiClient
    bot: Bot

    def uploaded(self, keys: list[str]) -> str:
        """Make a bucket of objects that hold their own keys, past HTTP, as they may be many; give its name."""
        bucket = f"casualties-{next(_numbers)}"
        make_bucket(self.api.aws("s3"), bucket)
        for key in keys:
            s3_backends[ACCOUNT]["aws"].put_object(bucket, key, key.encode())
        return bucket

    def result_of(self, bucket: str, key: str) -> Any:
        """Read the result of a file, past HTTP."""
        found = s3_backends[ACCOUNT]["aws"].get_object(bucket, f"results/{key}.json")
        assert found
        return json.loads(found.value)


@contextmanager
def site(opensearch_url: str, directory: Path) -> Iterator[Site]:
    """Serve a stack whose state machines hardly wait; its bot lives in `directory`."""
    bot = Bot(directory)
    program = [sys.executable, str(bot.directory / "task.py")]
    own = {"INDEX_PREFIX": PREFIX}
    with stack(opensearch_url, listen(0), workers=2, extra=own, program=program, pace=0.01) as running:
        yield Site(running, ApiClient(running.url, running.aws_url), bot)
