"""Pictures of the results, for the README."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

Entries = Sequence[Mapping[str, Any]]

_KEPT: Final = "#2a7f62"
_MISSED: Final = "#b3261e"
_PLAIN: Final = "#8a8f98"


def speed(entries: Entries, path: Path) -> None:
    """Draw the ratios, each with its spread and its goal."""
    compared = [entry for entry in entries if entry["ratio"] is not None]
    figure, axes = _figure(len(compared))
    for row, entry in enumerate(compared):
        axes.barh(row, entry["ratio"], color=_colour(entry), height=0.6)
        if entry["low"] is not None:
            axes.plot([entry["low"], entry["high"]], [row, row], color="black", linewidth=1)
        if entry["goal"].startswith("ratio <= "):
            limit = float(entry["goal"].removeprefix("ratio <= "))
            axes.plot([limit, limit], [row - 0.42, row + 0.42], color="black", linewidth=2)
    _label(axes, [f"{entry['name']}  {entry['ratio']:.2f}" for entry in compared])
    axes.set_xlabel("times the raw reference of the same run; thick line: the goal; thin line: the spread")
    _save(figure, path, entries)


def faults(entries: Entries, path: Path) -> None:
    """Draw how much each part tried."""
    figure, axes = _figure(len(entries))
    for row, entry in enumerate(entries):
        axes.barh(row, max(entry["value"], 0.5), color=_colour(entry), height=0.6)
    _label(axes, [f"{entry['name']}  {entry['value']:,g} {entry['unit']}" for entry in entries])
    axes.set_xscale("log")
    axes.set_xlabel("how much was tried; green: all as promised")
    _save(figure, path, entries)


def _figure(rows: int) -> tuple[Any, Any]:
    # Drawing is the last thing that a run does; nothing else waits for this import.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 1.2 + 0.32 * rows), layout="constrained")
    return figure, figure.subplots()


def _label(axes: Any, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def _colour(entry: Mapping[str, Any]) -> str:
    return {True: _KEPT, False: _MISSED, None: _PLAIN}[entry["holds"]]


def _save(figure: Any, path: Path, entries: Entries) -> None:
    figure.suptitle(max(entry["measured"] for entry in entries), fontsize="small", x=0.01, ha="left")
    figure.savefig(path, metadata={"Date": None})
