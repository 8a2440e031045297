"""State machine {"job_id", "run", "error"}: note how the run ended."""

from collections.abc import Mapping
from typing import Any

from shared.invocation import task
from shared.jobs.batch import batch
from shared.jobs.items import items
from shared.jobs.registry import jobs
from shared.jobs.sum_up import reason_of, sum_up


@task(correlation_id=lambda event: event["job_id"])
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Count what became of the files and end the job; `error` is what a state caught before, if one did."""
    why = reason_of(event.get("error"))
    job = sum_up(event["job_id"], event["run"], why, jobs=jobs(), items=items(), batch=batch())
    return {"status": job.status.value, "reason": job.reason}
