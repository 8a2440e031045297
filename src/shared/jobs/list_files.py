"""The planner: makes a work item of each file under a job's prefix, page by page, in constant memory.

Its place in the listing goes from one invocation to the next. Each page is in the work list before the next one is
read, and an item's id follows from its file, so that a page that is read again adds nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from shared import clock
from shared.clock import flat_now
from shared.jobs.item import Selection, new_item
from shared.jobs.items import Items
from shared.jobs.objects import Objects
from shared.jobs.record import Job, JobStatus
from shared.jobs.registry import JobRegistry


@dataclass(frozen=True, slots=True)
class Place:
    """How far the planner has come.

    `reset`: what a retry takes up again has been set back. `after`: the last key read, "" before the first.
    `files`: how many files there were up to it. `done`: nothing is left to read.
    """

    reset: bool = False
    after: str = ""
    files: int = 0
    done: bool = False

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | None) -> Self:
        """Read what the state machine kept of the last invocation, None before the first."""
        return cls(**(state or {}))

    def to_state(self) -> dict[str, Any]:
        """Give what the state machine keeps."""
        return asdict(self)


def list_files(
    job_id: str,
    run: int,
    place: Place,
    *,
    jobs: JobRegistry,
    items: Items,
    objects: Objects,
    goes_on: Callable[[], bool],
) -> Place:
    """List on from a place while `goes_on` says so, one page at least.

    A retry first sets back the files that failed or were left half-done; it lists only where an earlier run's listing
    broke off. Raise JobCannotRunError, JobStoppedError, AwsUnavailableError, RegistryUnavailableError.
    """
    job = jobs.update(job_id, lambda now: now.advanced(JobStatus.LISTING, run, clock.now()))
    if not place.reset:
        while run > 1 and items.reset(job_id):
            if not goes_on():
                return place
        place = replace(place, reset=True)
    if job.listed:
        return replace(place, done=True)
    if not place.after:
        objects.require_bucket(job.output_s3_bucket)
    selection = Selection(job)
    while True:
        place = _page_listed(job, place, selection, items, objects)
        if place.done:
            jobs.update(job_id, lambda now: replace(now, listed=True))
            return place
        if not goes_on():
            return place
        # Stopping an execution does not stop the function that it waits for.
        jobs.get(job_id).require_run(run)


def _page_listed(job: Job, place: Place, selection: Selection, items: Items, objects: Objects) -> Place:
    page = objects.page(job.s3_bucket, job.s3_path, place.after)
    keys, now = [key for key in page.sizes if selection.takes(key)], flat_now()
    if keys:
        items.add(job, [new_item(job, key, page.sizes[key], place.files + i, now) for i, key in enumerate(keys)])
    last = next(reversed(page.sizes), place.after)
    return replace(place, after=last, files=place.files + len(keys), done=not page.more)
