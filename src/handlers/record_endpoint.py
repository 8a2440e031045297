"""EventBridge "SageMaker Endpoint State Change": look at an endpoint that moved, and go on with what is wanted."""

from collections.abc import Mapping
from typing import Any

from shared.endpoints.records import endpoints
from shared.endpoints.sagemaker import sagemaker
from shared.endpoints.settle import ControlLoop
from shared.invocation import task


@task(correlation_id=lambda event: event.get("id"))
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Settle the endpoint that the event names.

    Events repeat and arrive out of order, so that what one says is not believed: SageMaker is asked instead.
    """
    record = ControlLoop(endpoints(), sagemaker()).settle(event["detail"]["EndpointName"])
    return {"status": record.status.value if record else None}
