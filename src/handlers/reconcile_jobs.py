"""Schedule, every 5 minutes: look at jobs that have been quiet, so that a lost start, event or cancel heals itself."""

from collections.abc import Mapping
from typing import Any, Final

from shared.invocation import task
from shared.jobs.batch import batch
from shared.jobs.executions import executions
from shared.jobs.items import items
from shared.jobs.notice import notice_all
from shared.jobs.registry import jobs

_MILLISECONDS_FOR_ONE: Final = 60_000


@task(correlation_id=lambda event: event.get("id"))
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Look at jobs while time is left."""
    looked_at = notice_all(
        jobs=jobs(),
        items=items(),
        executions=executions(),
        batch=batch(),
        goes_on=lambda: context.get_remaining_time_in_millis() > _MILLISECONDS_FOR_ONE,
    )
    return {"looked_at": looked_at}
