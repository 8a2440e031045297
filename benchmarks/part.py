"""A part of the benchmark, in a process of its own: what one part loads and caches is not the next one's.

`python -m benchmarks.part NAME OPENSEARCH_URL [--short]` measures benchmarks/speed/NAME.py and prints its results.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Final, Protocol, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.report import Result
from local.aws import CREDENTIALS
from local.stack import environment_of
from local.template import ROOT

_NOWHERE: Final = "http://127.0.0.1:9"  # nothing listens there: what is not to call AWS fails if it does


@dataclass(frozen=True, slots=True)
class Run:
    """What a part is given; `short`: as little as shows that it works, too little to judge a time by."""

    opensearch_url: str
    short: bool

    def track(self, what: str, turns: Iterable[int], total: int) -> Iterator[int]:
        """Go through turns with a bar for whoever watches."""
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            yield from progress.track(turns, total=total, description=what)


class Part(Protocol):
    """A module of benchmarks/speed: the names of its results, and how to get them."""

    NAMES: tuple[str, ...]

    @staticmethod
    def measure(run: Run) -> Iterable[Result]:
        """Measure, in a process that has the functions' environment, an index prefix of its own included."""


def part(name: str) -> Part:
    """Load a part."""
    return cast("Part", importlib.import_module(f"benchmarks.speed.{name}"))


def in_process(name: str, opensearch_url: str, *, short: bool) -> list[Result]:
    """Measure a part in a new process; raise CalledProcessError where it fails."""
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"},
        **environment_of(opensearch_url, _NOWHERE),
        **CREDENTIALS,
        "INDEX_PREFIX": f"bench-{name.replace('_', '-')}",
        "OPENSEARCH_TIMEOUT_SECONDS": "20",
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    }
    command = [sys.executable, "-m", "benchmarks.part", name, opensearch_url, *(["--short"] if short else [])]
    run = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return [Result(**result) for result in json.loads(run.stdout.splitlines()[-1])]


if __name__ == "__main__":
    measured = part(sys.argv[1]).measure(Run(sys.argv[2], short="--short" in sys.argv))
    print(json.dumps([asdict(result) for result in measured]))
