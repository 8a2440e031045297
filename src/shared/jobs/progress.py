"""How far a job has come: from the counts of its files to percent, rate and time left."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.clock import from_flat
from shared.jobs.item import UNFINISHED_ITEMS, ItemStatus
from shared.jobs.record import Job, JobStatus

Counts = Mapping[ItemStatus, int]


def finished_files(counts: Counts) -> int:
    """Give how many files are done with, well or not."""
    return counts[ItemStatus.COMPLETED] + counts[ItemStatus.ERROR]


def unfinished_files(counts: Counts) -> int:
    """Give how many files wait or are being worked on."""
    return sum(counts[status] for status in UNFINISHED_ITEMS)


def progress(job: Job, counts: Counts, now: datetime) -> dict[str, Any]:
    """Give `files`, `counts`, `percent`, `files_per_second` (None until known) and `seconds_left` (None: unknown)."""
    files, finished = sum(counts.values()), finished_files(counts)
    # Rounded down: 100 means that nothing is left.
    percent = math.floor(1000 * finished / files) / 10 if files else 100.0 * (job.status is JobStatus.COMPLETED)
    rate = _rate(job, finished, now)
    left = math.ceil((files - finished) / rate) if rate and job.status is JobStatus.RUNNING else None
    return {
        "files": files,
        "counts": {status.value: counts[status] for status in ItemStatus},
        "percent": percent,
        "files_per_second": round(rate, 2) if rate else None,
        "seconds_left": left,
    }


def outcome(job: Job, counts: Counts, why: str) -> tuple[JobStatus, str]:
    """Say how a run ended, in a status and a sentence ("" where all is well); `why`: what kept files from finishing."""
    files, unfinished, errors = sum(counts.values()), unfinished_files(counts), counts[ItemStatus.ERROR]
    if not job.listed:
        return JobStatus.FAILED, why or "the listing of its files did not come to an end"
    if unfinished:
        detail = why or "their Batch jobs ended, and Batch gives no reason"
        return JobStatus.FAILED, f"{unfinished} of {files} files {_were(unfinished)} not finished: {detail}"
    if errors:
        return JobStatus.COMPLETED_WITH_ERRORS, f"{errors} of {files} files {_were(errors)} refused by the bot"
    return JobStatus.COMPLETED, ""


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _rate(job: Job, finished: int, now: datetime) -> float | None:
    """Give files a second since this run's slices began, as the flat times tell it: never of less than a second."""
    handled = finished - job.finished_before
    if not job.running_since or handled <= 0:
        return None
    until = from_flat(job.finished_date) if job.finished_date else now
    return handled / max(1.0, (until - from_flat(job.running_since)).total_seconds())
