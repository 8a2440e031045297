"""Invoked by an operator, {"action": "list" | "restore" | "switch", …}: bring the registry back from a snapshot."""

from collections.abc import Mapping
from typing import Any

from shared.invocation import task
from shared.snapshots import carry_out


@task(correlation_id=lambda event: event.get("correlation_id"))
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Carry out the action; a failure names what is wrong, and nothing is half done."""
    return carry_out({name: value for name, value in event.items() if name != "correlation_id"})
