"""EventBridge "Step Functions Execution Status Change": look at the job of an execution that ended."""

from collections.abc import Mapping
from typing import Any

from shared.invocation import task
from shared.jobs.batch import batch
from shared.jobs.executions import executions, job_of
from shared.jobs.items import items
from shared.jobs.notice import notice
from shared.jobs.registry import jobs


@task(correlation_id=lambda event: event.get("id"))
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Sum up a run that ended by itself, or end the Batch jobs of one that was cancelled.

    Events repeat and arrive late, so that what one says is not believed: Step Functions is asked instead.
    """
    id = job_of(event["detail"]["name"])
    job = notice(id, jobs=jobs(), items=items(), executions=executions(), batch=batch())
    return {"status": job.status.value if job else None}
