"""Where jobs are kept: one OpenSearch document a job."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from shared.errors import ConcurrentChangeError, JobNotFoundError
from shared.jobs.query import JobQuery, is_job_id
from shared.jobs.record import UNFINISHED, Job, JobStatus
from shared.opensearch import Index, VersionConflictError

_KEYWORD: Final = {"type": "keyword"}
_KEPT: Final = {"type": "keyword", "index": False, "doc_values": False}
_NUMBER: Final = {"type": "integer"}
_PROPERTIES: Final[Mapping[str, Any]] = {
    "job_id": _KEYWORD,
    "bot_name": _KEYWORD,
    "s3_bucket": _KEPT,
    "s3_path": _KEPT,
    "output_s3_bucket": _KEPT,
    "output_s3_prefix": _KEPT,
    "number_of_bots": _NUMBER,
    "bulk_size": _NUMBER,
    "status": _KEYWORD,
    "reason": _KEPT,
    "run": _NUMBER,
    "created_date": _KEYWORD,  # sorts as text
    "started_date": _KEPT,
    "finished_date": _KEYWORD,
    "update_date": _KEYWORD,
    "bot_image": _KEPT,
    "bot_image_cmd": _KEPT,
    "bot_vcpu": _KEPT,
    "bot_mem": _KEPT,
    "endpoint_name": _KEPT,
    "file_types": _KEPT,
    "listed": {"type": "boolean"},
    "running_since": _KEPT,
    "finished_before": _NUMBER,
}
_UNFINISHED: Final = {"terms": {"status": sorted(status.value for status in UNFINISHED)}}
_NEWEST_FIRST: Final = [{"created_date": "desc"}, {"job_id": "desc"}]
_MAX_ATTEMPTS: Final = 10
_PAGE: Final = 100


class JobTakenError(Exception):
    """Raised when a job of that id exists; `job` is that one."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.job_id)
        self.job = job


class JobRegistry:
    """The door to the jobs' index."""

    def __init__(self) -> None:
        # refresh: a list right after a 202 must show the job, and a bot with jobs must not be removed.
        self._index = Index("jobs", _PROPERTIES, refresh=True)

    def find(self, id: str) -> Job | None:
        """Read a job, or None where there is none."""
        document = self._index.get(id) if is_job_id(id) else None
        return Job.from_source(document.source) if document else None

    def get(self, id: str) -> Job:
        """Read a job; raise JobNotFoundError, without asking for an id that no job can have."""
        job = self.find(id)
        if job is None:
            raise JobNotFoundError(id)
        return job

    def create(self, job: Job) -> None:
        """Keep a new job; raise JobTakenError where there is one of its id."""
        try:
            self._index.create(job.job_id, job.to_source())
        except VersionConflictError as conflict:
            if conflict.existing is None:  # jobs are never removed, so this is somebody's hand in the index
                raise ConcurrentChangeError(f"job {job.job_id}") from conflict
            raise JobTakenError(Job.from_source(conflict.existing.source)) from conflict

    def update(self, id: str, change: Callable[[Job], Job]) -> Job:
        """Apply a change to a job as it is now, again when somebody else wrote in between; raise JobNotFoundError.

        Nothing is written where it changes nothing.
        """
        document = self._index.get(id) if is_job_id(id) else None
        for _ in range(_MAX_ATTEMPTS):
            if document is None:
                raise JobNotFoundError(id)
            job = Job.from_source(document.source)
            changed = change(job)
            if changed == job:
                return job
            try:
                self._index.replace(id, changed.to_source(), document.version)
            except VersionConflictError as conflict:
                document = conflict.existing
            else:
                return changed
        raise ConcurrentChangeError(f"job {id}")

    def page(self, query: JobQuery, size: int) -> list[Job]:
        """Read `size` jobs, the newest first."""
        filters: list[Mapping[str, Any]] = [
            {"term": {field: {"value": value}}}
            for field, value in (("bot_name", query.bot_name), ("status", query.status))
            if value
        ]
        body: dict[str, Any] = {"size": size, "sort": _NEWEST_FIRST, "query": {"bool": {"filter": filters}}}
        if query.after:
            created_date, _, job_id = query.after.rpartition(" ")
            body["search_after"] = [created_date, job_id]
        return [Job.from_source(hit.source) for hit in self._index.search(body)]

    def any_unfinished(self, bot_name: str) -> bool:
        """Tell whether a bot has jobs that are not finished."""
        filters = [{"term": {"bot_name": {"value": bot_name}}}, _UNFINISHED]
        return bool(self._index.search({"size": 1, "query": {"bool": {"filter": filters}}}))

    def quiet(self, since: str, cancelled_after: str) -> Iterator[Job]:
        """Find unfinished jobs whose document has not changed since, and those that were cancelled after.

        Both times are flat, in UTC.
        """
        unchanged = {"range": {"update_date": {"lt": since}}}
        cancelled = [
            {"term": {"status": {"value": JobStatus.CANCELLED.value}}},
            {"range": {"finished_date": {"gt": cancelled_after}}},
        ]
        wanted = [{"bool": {"filter": [_UNFINISHED, unchanged]}}, {"bool": {"filter": cancelled}}]
        body: dict[str, Any] = {"size": _PAGE, "sort": _NEWEST_FIRST, "query": {"bool": {"should": wanted}}}
        while found := [Job.from_source(hit.source) for hit in self._index.search(body)]:
            yield from found
            body["search_after"] = [found[-1].created_date, found[-1].job_id]


@cache
def jobs() -> JobRegistry:
    """Give the door, made on first use."""
    return JobRegistry()
