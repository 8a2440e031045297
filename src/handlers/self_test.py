"""Invoke {"bucket"}: walk the way of each function once, and report what works and what does not."""

from collections.abc import Mapping
from typing import Any

from shared.endpoints.sagemaker import sagemaker
from shared.functions import functions
from shared.invocation import task
from shared.jobs.batch import batch
from shared.jobs.objects import objects
from shared.self_test import self_test


@task(correlation_id=lambda event: event.get("correlation_id"))
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Test what is deployed, without a change to it; a step that fails stands in the report and stops no other."""
    return self_test(
        event.get("bucket"),
        context.aws_request_id,
        functions=functions(),
        sagemaker=sagemaker(),
        batch=batch(),
        objects=objects(),
        milliseconds_left=context.get_remaining_time_in_millis,
    )
