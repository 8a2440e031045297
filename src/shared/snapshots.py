"""Snapshots of the registry, for an operator: list them, restore indices beside those in use, move the aliases.

Each index is `<prefix>-<subject>-<generation>`, and the service looks at its alias `<prefix>-<subject>` alone. What the
service makes is generation 1; what is restored has one that follows from its snapshot, so that the same request again
finds what it has begun. Nothing is ever removed or written over here.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from shared import opensearch, settings
from shared.errors import OperatorError
from shared.log import logger
from shared.opensearch import HeldIndex

#: OpenSearch documentation, "Create snapshot": lower case, and none of what would mean something in a path.
_SNAPSHOT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,254}")
_GENERATION: Final = re.compile(r"[a-z0-9]{1,20}")
_RENAMED: Final = "^(.+)-[^-]+$"


def carry_out(event: Mapping[str, Any]) -> dict[str, Any]:
    """Do what an operator asks for: {"action": "list" | "restore" | "switch", …}; raise OperatorError where it cannot.

    `restore` takes "snapshot", and "indices" where not all of the service's are wanted; `switch` takes "generation".
    """
    fields = {"list": (), "restore": ("snapshot", "indices"), "switch": ("generation",)}
    action = event.get("action")
    if not isinstance(action, str) or action not in fields:
        raise OperatorError(f"action must be one of {', '.join(fields)}")
    if unknown := set(event) - {"action", *fields[action]}:
        raise OperatorError(f"{action} knows no {', '.join(sorted(unknown))}")
    if action == "restore":
        return restore(_matching(_SNAPSHOT, event, "snapshot"), _names(event.get("indices")))
    if action == "switch":
        return switch(_matching(_GENERATION, event, "generation"))
    return list_all()


def list_all() -> dict[str, Any]:
    """Show the snapshots that hold indices of ours, the latest name first, and what there is now.

    `serves` is the alias that leads to an index, null where none does; below 100 percent it is being restored.
    """
    found = sorted(opensearch.snapshots(_repository()), key=lambda snapshot: snapshot.name, reverse=True)
    return {
        "repository": _repository(),
        "snapshots": [
            {
                "snapshot": snapshot.name,
                "state": snapshot.state,
                "generation": _generation_of(snapshot.name),
                "indices": sorted(filter(_is_ours, snapshot.indices)),
            }
            for snapshot in found
            if any(map(_is_ours, snapshot.indices))
        ],
        "indices": [{"index": index.name, "serves": _alias_of(index), "percent": index.percent} for index in _held()],
    }


def restore(name: str, indices: Sequence[str] = ()) -> dict[str, Any]:
    """Begin to restore indices of a snapshot (none named: all of ours) beside those in use, under names of their own.

    What is there already under those names, whole or on its way, is left as it is.
    """
    (snapshot,) = opensearch.snapshots(_repository(), name)
    if snapshot.state != "SUCCESS":
        raise OperatorError(f"snapshot {name} is {snapshot.state}; only one that is SUCCESS is restored")
    ours = sorted(filter(_is_ours, snapshot.indices))
    if missing := set(indices).difference(ours):
        raise OperatorError(f"snapshot {name} has no {', '.join(sorted(missing))}; it has {', '.join(ours) or 'none'}")
    generation = _generation_of(name)
    wanted = {index: f"{index.rpartition('-')[0]}-{generation}" for index in indices or ours}
    if not wanted:
        raise OperatorError(f"snapshot {name} holds no index {_prefix()}-*")
    if len(set(wanted.values())) < len(wanted):
        raise OperatorError(f"name one index of each kind as indices: snapshot {name} has {', '.join(sorted(wanted))}")
    there = {index.name for index in _held()}
    begun = sorted(index for index, target in wanted.items() if target not in there)
    if begun:
        opensearch.begin_restore(_repository(), name, begun, rename=(_RENAMED, f"$1-{generation}"))
        logger.info("restore begun", snapshot=name, indices=begun)
    return {
        "generation": generation,
        "begun": [wanted[index] for index in begun],
        "there_already": sorted(there.intersection(wanted.values())),
    }


def switch(generation: str) -> dict[str, Any]:
    """Have the service use the indices of a generation, all at once; those that it used stay, to go back to.

    A kind of index that the generation lacks stays as it is.
    """
    held = _held()
    chosen = {_alias_for(index): index for index in held if index.name.rpartition("-")[2] == generation}
    if not chosen:
        known = sorted({index.name.rpartition("-")[2] for index in held})
        raise OperatorError(f"there is no index of generation {generation}; there is {', '.join(known) or 'none'}")
    if unready := [f"{index.name} ({index.percent:g} %)" for index in chosen.values() if index.percent < 100]:
        raise OperatorError(f"not restored yet: {', '.join(unready)}; nothing was moved")
    moves: list[tuple[Literal["add", "remove"], str, str]] = []
    for alias, target in chosen.items():
        moves += [("remove", index.name, alias) for index in held if index != target and alias in index.aliases]
        moves += [("add", target.name, alias)] if alias not in target.aliases else []
    if moves:
        opensearch.move_aliases(moves)
        logger.info("aliases moved", generation=generation, aliases=sorted(chosen))
    return {
        "generation": generation,
        "removed": {alias: index for what, index, alias in moves if what == "remove"},
        "serving": {alias: index.name for alias, index in sorted(chosen.items())},
    }


def _held() -> list[HeldIndex]:
    return [index for index in opensearch.held_indices(f"{_prefix()}-*") if _is_ours(index.name)]


def _is_ours(index: str) -> bool:
    """Tell our indices from those of a deployment whose prefix begins with ours."""
    return re.fullmatch(rf"{re.escape(_prefix())}-[a-z]+-[^-]+", index) is not None


def _alias_for(index: HeldIndex) -> str:
    return index.name.rpartition("-")[0]


def _alias_of(index: HeldIndex) -> str | None:
    return _alias_for(index) if _alias_for(index) in index.aliases else None


def _generation_of(snapshot: str) -> str:
    return f"r{hashlib.sha256(snapshot.encode()).hexdigest()[:12]}"


def _prefix() -> str:
    return settings.opensearch().index_prefix


def _repository() -> str:
    return settings.snapshot_repository()


def _matching(pattern: re.Pattern[str], event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise OperatorError(f"{name} must be a name that `list` shows")
    return value


def _names(value: Any) -> Sequence[str]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise OperatorError("indices must be a list of names that `list` shows")
    return tuple(value)
