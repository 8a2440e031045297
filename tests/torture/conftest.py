"""Nothing lost: each module here is a part of `make torture`, which reports figures and fails where a promise broke.

SHORT=1 makes every part small enough for all of them to end within two minutes; what they promise stays the same.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any, TypeVar

import pytest

from benchmarks import plot
from benchmarks.report import RESULTS, Result, print_table, write_json

Size = TypeVar("Size")
SHORT = bool(os.environ.get("SHORT"))
_HERE = Path(__file__).parent
_SECONDS_BETWEEN_LINES = 5.0
_results: list[Result] = []


class Torture:
    """What a part reports, and how large it is to be."""

    short = SHORT

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    def size(self, full: Size, *, short: Size) -> Size:
        """Choose between the full and the short form."""
        return short if self.short else full

    def report(
        self, name: str, value: float, unit: str, *, goal: str = "", holds: bool | None = None, note: str = ""
    ) -> None:
        """Keep a figure for the table; fail where it does not hold what was promised."""
        _results.append(Result(name, value, unit, goal=goal, holds=holds, note=note))
        assert holds is not False, f"{name}: {value:g} {unit}, promised was {goal}; {note}"

    def progress(self, what: str, done: int, total: int) -> None:
        """Tell whoever watches, every few seconds, how far a part has come."""
        if time.monotonic() - self._told_at > _SECONDS_BETWEEN_LINES or done == total:
            self._told_at = time.monotonic()
            print(f"  {what}: {done:,} of {total:,}", file=sys.__stderr__, flush=True)


@pytest.fixture
def torture() -> Torture:
    return Torture()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.torture)
            item.add_marker(pytest.mark.timeout(2400))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    part = item.path.stem.removeprefix("test_")
    if report.failed and not any(result.holds is False and result.name.startswith(part) for result in _results):
        note = str(call.excinfo.value).partition("\n")[0][:200] if call.excinfo else ""
        _results.append(Result(part, 0, "", goal="ends well", holds=False, note=f"{item.name}: {note}"))
    return report


def pytest_terminal_summary() -> None:
    if not _results:
        return
    print_table("nothing lost" + " (short form)" * SHORT, _results)
    if not SHORT:
        plot.faults(write_json(RESULTS / "torture.json", _results), RESULTS / "torture.svg")
