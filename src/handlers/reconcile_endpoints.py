"""Schedule, every 5 minutes: take up whatever has not settled, so that a lost trigger or event heals itself."""

from collections.abc import Mapping
from typing import Any

from shared.bots.endpoints import note_recent_wishes
from shared.bots.registry import bots
from shared.bots.remove import finish_departures
from shared.endpoints.records import endpoints
from shared.endpoints.sagemaker import sagemaker
from shared.endpoints.settle import ControlLoop
from shared.log import logger


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Mend what registrations and removals left half-done, then settle endpoints while time is left."""
    logger.set_correlation_id(event.get("id"))
    note_recent_wishes(bots=bots(), endpoints=endpoints())
    finish_departures(bots=bots(), endpoints=endpoints())
    loop = ControlLoop(endpoints(), sagemaker())
    return {"looked_at": loop.reconcile(lambda: context.get_remaining_time_in_millis() / 1000)}
