"""Reading jobs: one by its id, a page of them, or a page of a job's files."""

from typing import Any

from shared import clock
from shared.errors import JobNotFoundError
from shared.jobs.item import shown_item
from shared.jobs.items import Items
from shared.jobs.query import FileQuery, JobQuery, is_job_id
from shared.jobs.record import Job
from shared.jobs.registry import JobRegistry
from shared.jobs.view import summary, view


def read_job(id: str, *, jobs: JobRegistry, items: Items) -> dict[str, Any]:
    """Read a job with the state of its files; raise JobNotFoundError."""
    return show(jobs.get(id), items=items)


def show(job: Job, *, items: Items) -> dict[str, Any]:
    """Show a job that has been read or written, with the state of its files."""
    return view(job, items.counts(job.job_id), clock.now())


def read_jobs(query: JobQuery, *, jobs: JobRegistry) -> dict[str, Any]:
    """Read a page: `{"jobs": […], "next_token": … or null where the list ends}`."""
    # One more than asked for tells whether another page follows.
    found = jobs.page(query, query.limit + 1)
    page = found[: query.limit]
    more = len(found) > len(page)
    return {
        "jobs": [summary(job) for job in page],
        "next_token": query.next_token(page[-1].created_date, page[-1].job_id) if more else None,
    }


def read_files(query: FileQuery, *, jobs: JobRegistry, items: Items) -> dict[str, Any]:
    """Read a page of a job's files: `{"files": […], "next_token": …}`; raise JobNotFoundError."""
    if not is_job_id(query.job_id):
        raise JobNotFoundError(query.job_id)
    jobs.get(query.job_id)
    found = items.page(query, query.limit + 1)
    page = found[: query.limit]
    return {
        "files": [shown_item(source) for source in page],
        "next_token": query.next_token(page[-1]["file_key"]) if len(found) > len(page) else None,
    }
