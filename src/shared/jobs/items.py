"""Where work items are kept: one OpenSearch document a file of a job, also read and written by the bots' containers.

Field names and types are a contract with images that were written elsewhere: a `match` on job_id, batch_id and status
finds a slice's files, and fields of their own that they add are kept without being indexed.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from shared.clock import flat_now
from shared.jobs.item import RESET, TO_RETRY, ItemStatus, item_id
from shared.jobs.progress import Counts
from shared.jobs.query import FileQuery
from shared.jobs.record import Job
from shared.opensearch import Index

_KEYWORD: Final = {"type": "keyword"}
_PROPERTIES: Final[Mapping[str, Any]] = {
    "job_id": _KEYWORD,
    "bucket": _KEYWORD,
    "file_key": _KEYWORD,  # at most 1,024 bytes in S3, far from the 32,766 that a term may have
    "status": _KEYWORD,
    "batch_id": _KEYWORD,
    "output": _KEYWORD,
    "worker": _KEYWORD,
    "error": {"type": "text", "index": False},
    "error_code": _KEYWORD,
    "attempts": {"type": "integer"},
    "size": {"type": "long"},
    "created_date": _KEYWORD,
    "update_date": _KEYWORD,
}
_AT_ONCE: Final = 1000


class Items:
    """The door to the work items' index."""

    def __init__(self) -> None:
        self._index = Index("items", _PROPERTIES, dynamic="false")

    @property
    def index(self) -> str:
        """What a container is told to read and write: the alias of the index."""
        return self._index.alias

    def add(self, job: Job, items: list[Mapping[str, Any]]) -> None:
        """Keep the items of files that are new to the job; those that are there stay as they are."""
        documents = {item_id(job.job_id, item["bucket"], item["file_key"]): item for item in items}
        self._index.create_many(documents, at_once=job.bulk_size)

    def refresh(self) -> None:
        """Make counts and pages right as of now."""
        self._index.refresh()

    def counts(self, job_id: str) -> Counts:
        """Count a job's files by status, every status named."""
        counted = self._count(job_id, "status", list(ItemStatus))
        return {status: counted.get(status, 0) for status in ItemStatus}

    def slices_to_do(self, job_id: str, most: int) -> list[int]:
        """Name the slices that have files to begin or to go on with, in order."""
        return sorted(int(slice) for slice in self._count(job_id, "batch_id", _TO_DO, most))

    def reset(self, job_id: str) -> int:
        """Set back up to 1,000 files that failed or were left half-done; tell how many there were, 0 once none is."""
        self._index.refresh()
        found = self._index.search({"size": _AT_ONCE, "query": _of_job(job_id, TO_RETRY)})
        now = flat_now()
        self._index.update_many((item, {**RESET, "update_date": now}) for item in found)
        return len(found)

    def page(self, query: FileQuery, size: int) -> list[Mapping[str, Any]]:
        """Read `size` files by key; a page costs the same wherever it begins (search_after)."""
        statuses = [ItemStatus(query.status)] if query.status else []
        body: dict[str, Any] = {"size": size, "sort": [{"file_key": "asc"}], "query": _of_job(query.job_id, statuses)}
        if query.after:
            body["search_after"] = [query.after]
        return [hit.source for hit in self._index.search(body)]

    def _count(self, job_id: str, field: str, statuses: list[ItemStatus], most: int = 10) -> dict[str, int]:
        body = {"query": _of_job(job_id, statuses), "aggs": {"by": {"terms": {"field": field, "size": most}}}}
        found = self._index.aggregate(body)
        return {bucket["key"]: bucket["doc_count"] for bucket in found["by"]["buckets"]} if found else {}


_TO_DO: Final = [ItemStatus.NOT_STARTED, ItemStatus.PROCESSING]


def _of_job(job_id: str, statuses: list[ItemStatus] | tuple[ItemStatus, ...]) -> dict[str, Any]:
    filters: list[dict[str, Any]] = [{"term": {"job_id": {"value": job_id}}}]
    if statuses:
        filters.append({"terms": {"status": [status.value for status in statuses]}})
    return {"bool": {"filter": filters}}


@cache
def items() -> Items:
    """Give the door, made on first use."""
    return Items()
