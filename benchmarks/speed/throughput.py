"""Reads a second over the local gateway for so many callers at once, beside their bare reads of OpenSearch."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import urllib3

from benchmarks.part import Run
from benchmarks.report import Result
from local.stack import listen, stack
from local.template import ROOT

_CALLERS: Final = (1, 8, 32)
NAMES: Final = tuple(f"throughput_{callers}" for callers in _CALLERS)
ROUNDS: Final = 3

Turn = Sequence[tuple[str, str, object]]


@dataclass(frozen=True, slots=True)
class _Load:
    """What callers together have seen."""

    turns: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Turns a second, one at least: where all are errors there is still a ratio to show."""
        return max(self.turns, 1) / self.seconds


def measure(run: Run) -> Iterable[Result]:
    """Call in turns the gateway and OpenSearch; each load is made by a process of its own."""
    # As many environments as cores: a function of Lambda has its own CPU, so more would only wait for one another.
    workers = len(os.sched_getaffinity(0))
    prefix = os.environ["INDEX_PREFIX"]
    with stack(run.opensearch_url, listen(0), workers=workers, extra={"INDEX_PREFIX": prefix}) as running:
        fields = json.loads((ROOT / "byob" / "bot_config.json").read_text())
        assert urllib3.request("POST", f"{running.url}/bots", json=fields).status == 201
        read: Turn = [("GET", f"{running.url}/bots/{fields['name']}", None)]
        index = f"{run.opensearch_url}/{prefix}"
        raw: Turn = [
            ("GET", f"{index}-bots/_doc/{fields['name']}", None),
            ("POST", f"{index}-endpoints/_mget", {"ids": [fields["endpoint_name"].lower()]}),
        ]
        for turn in (read, raw):
            _load(8, 0.5 if run.short else 4, turn)  # what has just begun is slower
        rounds, seconds = (1, 1.0) if run.short else (ROUNDS, 4.0)
        for callers in _CALLERS:
            loads = [
                (_load(callers, seconds, read), _load(callers, seconds, raw))
                for _ in run.track(f"{callers} callers", range(rounds), rounds)
            ]
            yield _result(callers, loads, workers)


def _result(callers: int, loads: Sequence[tuple[_Load, _Load]], workers: int) -> Result:
    ratios = [raw.rate / load.rate for load, raw in loads]
    errors = sum(load.errors for load, _ in loads)
    p50, p99 = (statistics.median(getattr(load, name) for load, _ in loads) for name in ("p50_ms", "p99_ms"))
    return Result(
        f"throughput_{callers}",
        statistics.median(load.rate for load, _ in loads),
        "reads/s",
        reference=statistics.median(raw.rate for _, raw in loads),
        ratio=statistics.median(ratios),
        goal="errors 0",
        holds=errors == 0,
        low=min(ratios),
        high=max(ratios),
        note=f"ratio of times; {errors} errors; p50 {p50:.1f} ms, p99 {p99:.1f} ms; {workers} environments",
    )


def _load(callers: int, seconds: float, turn: Turn) -> _Load:
    command = [sys.executable, "-m", "benchmarks.callers", str(callers), str(seconds)]
    run = subprocess.run(  # noqa: S603
        command, cwd=ROOT, input=json.dumps(list(turn)), stdout=subprocess.PIPE, text=True, check=True
    )
    told: dict[str, Any] = json.loads(run.stdout)
    return _Load(**told)
