"""The work item: one file that a job is to process, and which keys of a bucket become one."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from shared.jobs.record import Job


class ItemStatus(StrEnum):
    """Where a file is on its way; the names are part of the contract with the bots' images."""

    NOT_STARTED = "NOT_STARTED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"


#: What a retry takes up again.
TO_RETRY: Final = (ItemStatus.ERROR, ItemStatus.PROCESSING)
#: What a run that has ended should not have left.
UNFINISHED_ITEMS: Final = (ItemStatus.NOT_STARTED, ItemStatus.PROCESSING)
#: What a retry sets back; who tried the file before, and how often, stays.
RESET: Final[Mapping[str, Any]] = {
    "status": ItemStatus.NOT_STARTED.value,
    "worker": "",
    "error": "",
    "error_code": "",
    "output": "",
    "attempts": 0,  # a worker gives a file up after some
}

_SHOWN: Final = (
    "bucket",
    "file_key",
    "status",
    "output",
    "error",
    "error_code",
    "batch_id",
    "attempts",
    "size",
    "created_date",
    "update_date",
)
_RESULT_ENDING: Final = ".json"


def item_id(job_id: str, bucket: str, key: str) -> str:
    """Give the id of a file's item, which follows from the file: one that is listed twice is one item."""
    return hashlib.sha256(f"{job_id}\n{bucket}\n{key}".encode()).hexdigest()[:40]


def new_item(job: Job, key: str, size_bytes: int, position: int, now: str) -> dict[str, Any]:
    """Make the document of a file: the `position`-th (from 0) of the whole listing goes to its slice in turn."""
    return {
        "job_id": job.job_id,
        "bucket": job.s3_bucket,
        "file_key": key,
        "status": ItemStatus.NOT_STARTED.value,
        "batch_id": str(position % job.number_of_bots + 1),
        "output": "",
        "worker": "",
        "error": "",
        "error_code": "",
        "attempts": 0,
        "size": size_bytes,
        "created_date": now,
        "update_date": now,
    }


def shown_item(source: Mapping[str, Any]) -> dict[str, Any]:
    """Show a file; what an image of another make left out is shown empty."""
    return {field: source.get(field, 0 if field in ("attempts", "size") else "") for field in _SHOWN}


class Selection:
    """Decides which keys under a job's prefix are its files."""

    def __init__(self, job: Job) -> None:
        self._path = job.s3_path
        self._endings = tuple(ending.lower() for ending in job.file_types.split(","))
        own_bucket = job.output_s3_bucket == job.s3_bucket
        location = job.output_s3_prefix.rstrip("/") + "/" if job.output_s3_prefix else ""
        self._results = location if own_bucket else None
        self._results_hold_the_files = job.s3_path.startswith(location)

    def takes(self, key: str) -> bool:
        """Tell whether a key is a file of the job: of its types, no folder, and no result."""
        return not key.endswith("/") and self._is_of_type(key) and not self._is_result(key)

    def _is_of_type(self, key: str) -> bool:
        return key.lower().endswith(self._endings)

    def _is_result(self, key: str) -> bool:
        if self._results is None or not key.startswith(self._results):
            return False
        if not self._results_hold_the_files:
            return True
        # The files lie in the output location themselves, so that only what has a result's name is left out.
        origin = key[len(self._results) :].removesuffix(_RESULT_ENDING)
        return key.endswith(_RESULT_ENDING) and origin.startswith(self._path) and self._is_of_type(origin)
