"""Schedule, every 5 minutes: take up whatever has not settled, so that a lost trigger or event heals itself."""

from collections.abc import Mapping
from typing import Any

from shared.bots.endpoints import note_recent_wishes
from shared.bots.registry import bots
from shared.bots.remove import finish_departures
from shared.endpoints.outcome import report_state
from shared.endpoints.records import endpoints
from shared.endpoints.sagemaker import sagemaker
from shared.endpoints.settle import ControlLoop
from shared.invocation import task


@task(correlation_id=lambda event: event.get("id"))
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Mend what registrations and removals left half-done, then settle endpoints while time is left, and count."""
    run = str(event.get("id", ""))
    note_recent_wishes(bots=bots(), endpoints=endpoints(), correlation_id=run)
    finish_departures(bots=bots(), endpoints=endpoints(), correlation_id=run)
    loop = ControlLoop(endpoints(), sagemaker())
    looked_at = loop.reconcile(lambda: context.get_remaining_time_in_millis() / 1000)
    report_state(endpoints())
    return {"looked_at": looked_at}
