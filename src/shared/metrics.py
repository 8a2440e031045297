"""What is counted and measured: CloudWatch metrics by way of the log (embedded metric format), for alarms to watch.

Namespace: POWERTOOLS_METRICS_NAMESPACE, else BringYourOwnBot. Dimension: `service` alone, POWERTOOLS_SERVICE_NAME, else
byob, so that each name below is one metric, to watch and to pay for. Nothing
that a caller sends is ever a dimension. Which bot, endpoint or error code it was, the log lines tell.

| metric | unit | recorded by | what |
| --- | --- | --- | --- |
| RequestsFailed | Count | every HTTP function | 1 for an answer of 5xx, 0 otherwise: the average is the rate |
| RegistrationsCreated | Count | create_bot, update_bot | a bot was registered |
| RegistrationsReplaced | Count | create_bot, update_bot | a bot's configuration was replaced or patched |
| RegistrationsUnchanged | Count | create_bot, update_bot | the configuration sent was the one that is kept |
| RegistrationsRefused | Count | create_bot, update_bot | an answer of 4xx, rehearsals included |
| ProvisioningSteps | Count | the control loop | a change that SageMaker accepted |
| ProvisioningRefused | Count | the control loop | SageMaker refused a call or could not be reached |
| ProvisioningInService | Count | the control loop | an endpoint came into service as it was wanted |
| ProvisioningFailed | Count | the control loop | an endpoint became Failed, or an update was taken back |
| ProvisioningGivenUp | Count | the control loop | so many attempts failed that only `deploy` starts afresh |
| ProvisioningSeconds | Seconds | the control loop | from the wish to the look that found it in service |
| EndpointsFailed | Count | reconcile_endpoints | gauge: endpoints whose last attempt came to nothing |
| EndpointsGivenUp | Count | reconcile_endpoints | gauge: those of them that are not tried again |
| EndpointsUnsettled | Count | reconcile_endpoints | gauge: endpoints with something left to do or to wait for |
| OpenSearchLatency | Milliseconds | all but method_not_allowed | each request to OpenSearch, failed ones included |
| OpenSearchUnavailable | Count | all but method_not_allowed | a request that OpenSearch did not answer as it should |

The control loop runs in provision_endpoint, record_endpoint and reconcile_endpoints. The gauges come with every run of
the schedule, zero included. All else is absent where nothing happened.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from shared import settings

# CloudWatch user guide, "Specification: Embedded metric format": values of one metric in one document.
_MAX_VALUES: Final = 100


class Metric(NamedTuple):
    """A metric's name and its unit in CloudWatch's words."""

    name: str
    unit: Literal["Count", "Seconds", "Milliseconds"] = "Count"


REQUESTS_FAILED: Final = Metric("RequestsFailed")
REGISTRATIONS_CREATED: Final = Metric("RegistrationsCreated")
REGISTRATIONS_REPLACED: Final = Metric("RegistrationsReplaced")
REGISTRATIONS_UNCHANGED: Final = Metric("RegistrationsUnchanged")
REGISTRATIONS_REFUSED: Final = Metric("RegistrationsRefused")
PROVISIONING_STEPS: Final = Metric("ProvisioningSteps")
PROVISIONING_REFUSED: Final = Metric("ProvisioningRefused")
PROVISIONING_IN_SERVICE: Final = Metric("ProvisioningInService")
PROVISIONING_FAILED: Final = Metric("ProvisioningFailed")
PROVISIONING_GIVEN_UP: Final = Metric("ProvisioningGivenUp")
PROVISIONING_SECONDS: Final = Metric("ProvisioningSeconds", "Seconds")
ENDPOINTS_FAILED: Final = Metric("EndpointsFailed")
ENDPOINTS_GIVEN_UP: Final = Metric("EndpointsGivenUp")
ENDPOINTS_UNSETTLED: Final = Metric("EndpointsUnsettled")
OPENSEARCH_LATENCY: Final = Metric("OpenSearchLatency", "Milliseconds")
OPENSEARCH_UNAVAILABLE: Final = Metric("OpenSearchUnavailable")

_recorded: Final[dict[Metric, list[float]]] = {}
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def record(metric: Metric, value: float = 1) -> None:
    """Keep a value until the invocation ends; a metric may have many."""
    _recorded.setdefault(metric, []).append(value)


def flush(properties: Mapping[str, Any]) -> None:
    """Write what was recorded as one line, with properties that a search of the log finds; nothing where there is none.

    More values of a metric than a line may have are on further lines.
    """
    if settings.metrics().enabled:
        while part := {metric: values[:_MAX_VALUES] for metric, values in _recorded.items() if values}:
            # In one write, its end included: where stdout is unbuffered, what another process prints gets in between.
            print(f"{_encode(_document(part, properties))}\n", end="")  # noqa: T201 - what a function prints is its log
            for metric in part:
                del _recorded[metric][:_MAX_VALUES]
    _recorded.clear()


def _document(part: Mapping[Metric, list[float]], properties: Mapping[str, Any]) -> dict[str, Any]:
    config = settings.metrics()
    directive = {
        "Namespace": config.namespace,
        "Dimensions": [["service"]],
        "Metrics": [{"Name": metric.name, "Unit": metric.unit} for metric in part],
    }
    return {
        "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]},
        "service": config.service,
        **properties,
        **{metric.name: values for metric, values in part.items()},
    }
