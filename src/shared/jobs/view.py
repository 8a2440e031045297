"""How a job is shown: its flat fields, and how far it has come."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from shared.jobs.progress import Counts, progress
from shared.jobs.record import Job

#: In the order in which they are shown.
SHOWN_FIELDS: Final = (
    "job_id",
    "bot_name",
    "s3_bucket",
    "s3_path",
    "output_s3_bucket",
    "output_s3_prefix",
    "number_of_bots",
    "bulk_size",
    "status",
    "reason",
    "run",
    "created_date",
    "started_date",
    "finished_date",
    "update_date",
    "bot_image",
    "bot_image_cmd",
    "bot_vcpu",
    "bot_mem",
    "endpoint_name",
    "file_types",
)


def view(job: Job, counts: Counts, now: datetime) -> dict[str, Any]:
    """Show a job with the state of its files."""
    return {**summary(job), **progress(job, counts, now)}


def summary(job: Job) -> dict[str, Any]:
    """Show a job as in a list: without its files."""
    fields = asdict(job)
    return {field: fields[field] for field in SHOWN_FIELDS}
