"""State machine {"job_id", "run"}: which slices have work, and what their containers are told."""

from collections.abc import Mapping
from typing import Any

from shared.invocation import task
from shared.jobs.batch import batch
from shared.jobs.items import items
from shared.jobs.prepare import prepare_slices
from shared.jobs.registry import jobs


@task(correlation_id=lambda event: event["job_id"])
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Give the slices to run, their job definition, queue and environment."""
    return prepare_slices(event["job_id"], event["run"], jobs=jobs(), items=items(), batch=batch())
