"""State machine {"job_id", "run"}: whether the job's bot is there and its endpoints can be called."""

from collections.abc import Mapping
from typing import Any

from shared.bots.registry import bots
from shared.endpoints.records import endpoints
from shared.endpoints.sagemaker import sagemaker
from shared.invocation import task
from shared.jobs.await_endpoints import check_endpoints
from shared.jobs.registry import jobs


@task(correlation_id=lambda event: event["job_id"])
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Tell whether the job can begin; the state machine waits and asks again where it cannot yet."""
    return check_endpoints(
        event["job_id"], event["run"], jobs=jobs(), bots=bots(), endpoints=endpoints(), sagemaker=sagemaker()
    )
