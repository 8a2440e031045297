"""Pictures of the results, for the README."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

Entries = Sequence[Mapping[str, Any]]

_KEPT: Final = "#2a7f62"
_MISSED: Final = "#b3261e"
_PLAIN: Final = "#8a8f98"
_FAINT: Final = "#e3e5e8"
_LEAST: Final = 0.5  # a logarithmic scale has no 0 to begin a bar at


def speed(entries: Entries, path: Path) -> None:
    """Draw the ratios, each with its spread and its goal; on a scale of doublings, as a half is as far as a double."""
    compared = [entry for entry in entries if entry["ratio"] is not None]
    figure, axes = _figure(len(compared))
    axes.axvline(1, color="black", linewidth=1)
    for row, entry in enumerate(compared):
        colour = _colour(entry)
        axes.axhline(row, color=_FAINT, linewidth=1, zorder=0)
        if entry["low"] is not None:
            axes.plot([entry["low"], entry["high"]], [row, row], color=colour, linewidth=5, alpha=0.35)
        if entry["goal"].startswith("ratio <= "):
            limit = float(entry["goal"].removeprefix("ratio <= "))
            axes.plot([limit, limit], [row - 0.36, row + 0.36], color="black", linewidth=2.5)
        axes.plot(entry["ratio"], row, "o", color=colour)
    _label(axes, [f"{entry['name']}  {entry['ratio']:.2f}" for entry in compared])
    _scale(axes, 2)
    axes.set_xlabel("times the reference of the same run, left is better; dot: median, band: spread, bar: goal")
    _save(figure, path, entries)


def faults(entries: Entries, path: Path) -> None:
    """Draw how much each part tried."""
    figure, axes = _figure(len(entries))
    for row, entry in enumerate(entries):
        axes.barh(row, max(entry["value"], 1) - _LEAST, left=_LEAST, color=_colour(entry), height=0.6)
    _label(axes, [f"{entry['name']}  {entry['value']:,g} {entry['unit']}" for entry in entries])
    _scale(axes, 10)
    axes.set_xlim(left=_LEAST)
    axes.set_xlabel("how much was tried")
    _save(figure, path, entries)


def _figure(rows: int) -> tuple[Any, Any]:
    # Drawing is the last thing that a run does; nothing else waits for this import.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 1.4 + 0.3 * rows), layout="constrained")
    axes = figure.subplots()
    axes.set_ylim(rows - 0.4, -0.6)
    return figure, axes


def _label(axes: Any, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.spines[["top", "right"]].set_visible(False)


def _scale(axes: Any, base: int) -> None:
    """Make a logarithmic scale with plain numbers."""
    from matplotlib.ticker import FuncFormatter, NullLocator  # noqa: PLC0415

    axes.set_xscale("log", base=base)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _colour(entry: Mapping[str, Any]) -> str:
    return {True: _KEPT, False: _MISSED, None: _PLAIN}[entry["holds"]]


def _save(figure: Any, path: Path, entries: Entries) -> None:
    from matplotlib.patches import Patch  # noqa: PLC0415

    meanings = {True: (_KEPT, "as promised"), False: (_MISSED, "not as promised"), None: (_PLAIN, "only shown")}
    met = [meanings[holds] for holds in meanings if holds in {entry["holds"] for entry in entries}]
    patches = [Patch(color=colour, label=meaning) for colour, meaning in met]
    figure.legend(handles=patches, loc="upper right", ncols=len(patches), fontsize="small", frameon=False)
    figure.suptitle(max(entry["measured"] for entry in entries), fontsize="small", x=0.01, ha="left")
    figure.savefig(path, metadata={"Date": None})
