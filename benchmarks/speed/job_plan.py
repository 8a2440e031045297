"""The planner of a job's work list: keys a second beside the bare calls that it stands on, and its memory.

Every figure comes from a process of its own, against an S3 that only lists.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from benchmarks.part import Run
from benchmarks.report import Result
from benchmarks.serving import serving
from local.template import ROOT

NAMES: Final = ("job_plan_rate", "job_plan_memory")
MEMORY_GOAL: Final = 1.15

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class _Planned:
    seconds: float
    peak_mb: float


def measure(run: Run) -> Iterable[Result]:
    """Plan jobs of the first size in turns with the bare calls, then one of each larger size."""
    sizes = (2_000, 5_000) if run.short else (20_000, 200_000, 1_000_000)
    rounds = 1 if run.short else 5
    _planned("raw", sizes[0])  # a node that has just begun is slower
    pairs = [
        (_planned("plan", sizes[0]), _planned("raw", sizes[0]))
        for _ in run.track(f"plans of {sizes[0]:,} keys", range(rounds), rounds)
    ]
    peaks = {sizes[0]: statistics.median(planned.peak_mb for planned, _ in pairs)}
    for size in run.track("larger plans", sizes[1:], len(sizes) - 1):
        largest = _planned("plan", size)
        peaks[size] = largest.peak_mb
    ratios = [planned.seconds / raw.seconds for planned, raw in pairs]
    yield Result(
        "job_plan_rate",
        statistics.median(sizes[0] / planned.seconds for planned, _ in pairs),
        "keys/s",
        reference=statistics.median(sizes[0] / raw.seconds for _, raw in pairs),
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        note=f"ratio of times; raw: the same pages and bulks by urllib3; {sizes[-1]:,} keys in {largest.seconds:.0f} s",
    )
    ratio = max(peaks.values()) / min(peaks.values())
    yield Result(
        "job_plan_memory",
        max(peaks.values()),
        "MB",
        reference=min(peaks.values()),
        ratio=ratio,
        goal=f"ratio <= {MEMORY_GOAL:g}",
        holds=ratio <= MEMORY_GOAL,
        note=", ".join(f"{peak:.1f} MB at {size:,} keys" for size, peak in peaks.items()) + "; largest beside smallest",
    )


def _planned(what: str, count: int) -> _Planned:
    with serving("benchmarks.lister", str(count)) as s3_url:
        index = f"{os.environ['INDEX_PREFIX']}-{next(_numbers)}"
        environment = {**os.environ, "AWS_ENDPOINT_URL_S3": s3_url, "INDEX_PREFIX": index}
        command = [sys.executable, "-m", "benchmarks.job_plan_run", what, str(count)]
        done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return _Planned(**json.loads(done.stdout.splitlines()[-1]))
