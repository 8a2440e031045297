"""Times that mean something on a noisy machine: each is taken interleaved with its reference, in rounds."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.report import Result

WARM_UP: Final = 100


@dataclass(frozen=True, slots=True)
class Rounds:
    """How much is measured: `calls` of each in each of `count` rounds."""

    count: int
    calls: int


@dataclass(frozen=True, slots=True)
class Timed:
    """Median seconds of each round, by name."""

    seconds: Mapping[str, list[float]]

    def result(self, name: str, of: str, reference: str, *, goal: float | None = None, note: str = "") -> Result:
        """Compare one with its reference: milliseconds, and the median of the rounds' ratios with their spread."""
        ratios = [one / other for one, other in zip(self.seconds[of], self.seconds[reference], strict=True)]
        ratio = statistics.median(ratios)
        return Result(
            name,
            statistics.median(self.seconds[of]) * 1e3,
            "ms",
            reference=statistics.median(self.seconds[reference]) * 1e3,
            ratio=ratio,
            goal="" if goal is None else f"ratio <= {goal:g}",
            holds=None if goal is None else ratio <= goal,
            low=min(ratios),
            high=max(ratios),
            note=note,
        )


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: Rounds, *, warm_up: int = WARM_UP) -> Timed:
    """Call one after the other, so that all meet the same noise."""
    for call in calls.values():
        for _ in range(warm_up):
            call()
    medians: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds.count):
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds.calls):
            for name, call in calls.items():
                begun = time.perf_counter()
                call()
                taken[name].append(time.perf_counter() - begun)
        for name, seconds in taken.items():
            medians[name].append(statistics.median(seconds))
    return Timed(medians)
