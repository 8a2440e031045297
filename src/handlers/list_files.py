"""State machine {"job_id", "run", "listing"}: make work items of the files under the job's prefix."""

from collections.abc import Mapping
from typing import Any, Final

from shared.invocation import task
from shared.jobs.items import items
from shared.jobs.list_files import Place, list_files
from shared.jobs.objects import objects
from shared.jobs.registry import jobs

# What a page may take with a slow S3 and a slow domain.
_MILLISECONDS_FOR_A_PAGE: Final = 60_000


@task(correlation_id=lambda event: event["job_id"])
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """List on from where the last invocation ended, while time is left; give the place for the next one."""
    place = list_files(
        event["job_id"],
        event["run"],
        Place.from_state(event.get("listing")),
        jobs=jobs(),
        items=items(),
        objects=objects(),
        goes_on=lambda: context.get_remaining_time_in_millis() > _MILLISECONDS_FOR_A_PAGE,
    )
    return place.to_state()
