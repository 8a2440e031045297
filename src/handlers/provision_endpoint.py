"""Asynchronous invoke {"bot", "endpoints", "correlation_id"}: bring a bot's endpoints to what is wanted of them."""

from collections.abc import Mapping
from typing import Any

from shared.endpoints.records import endpoints
from shared.endpoints.sagemaker import sagemaker
from shared.endpoints.settle import ControlLoop
from shared.invocation import task


@task(correlation_id=lambda event: event.get("correlation_id"))
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Settle the endpoints; what SageMaker refuses stands in their records, other failures let Lambda retry."""
    records = ControlLoop(endpoints(), sagemaker()).settle_all(event["endpoints"])
    return {"endpoints": [{"name": record.name, "status": record.status.value} for record in records]}
