"""What was measured: a result and its goal, as a table for people, as JSON for programs, as a picture to show."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).with_name("results")


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement: `value` in `unit`, and where it is compared, `ratio` to `reference`, measured in the same run.

    `low` and `high`: the spread of the ratio over the rounds, or of the value where there is no ratio. `goal`: what
    was promised, such as "ratio <= 1.4", "" for a figure that is only shown. `holds`: whether it was kept.
    """

    name: str
    value: float
    unit: str
    reference: float | None = None
    ratio: float | None = None
    goal: str = ""
    holds: bool | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


def at_most(name: str, value: float, unit: str, limit: float, *, note: str = "") -> Result:
    """Judge a value by itself."""
    return Result(name, value, unit, goal=f"value <= {limit:g}", holds=value <= limit, note=note)


def machine() -> str:
    """Name the machine and the day: absolute numbers mean nothing without them."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    cores = len(os.sched_getaffinity(0))
    return f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores of {model}, Python {platform.python_version()}"


def print_table(title: str, results: Iterable[Result], console: Console | None = None) -> None:
    """Print a line a result."""
    table = Table(title=f"{title}\n{machine()}", title_justify="left")
    for column in ("name", "value", "reference", "ratio", "spread", "goal", "holds"):
        table.add_column(column, justify="left" if column in ("name", "goal", "holds") else "right")
    for result in results:
        table.add_row(
            result.name,
            f"{_number(result.value)} {result.unit}",
            _number(result.reference),
            _number(result.ratio),
            "" if result.low is None else f"{_number(result.low)}-{_number(result.high)}",
            result.goal,
            {True: "[green]yes[/]", False: "[bold red]no[/]", None: ""}[result.holds],
        )
        if result.note:
            table.add_row("", result.note, style="dim")
    (console or Console(width=150)).print(table)


def write_json(path: Path, results: Sequence[Result]) -> list[dict[str, Any]]:
    """Keep results, those of parts that did not run as they were; give all that the file then has."""
    kept = {entry["name"]: entry for entry in json.loads(path.read_text())} if path.exists() else {}
    kept |= {result.name: {**asdict(result), "measured": machine()} for result in results}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(list(kept.values()), indent=1, ensure_ascii=False) + "\n")
    return list(kept.values())


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
