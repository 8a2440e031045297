"""What a look at an endpoint or an attempt on it brought about, as an operator counts it and finds it in the log."""

from datetime import datetime

from shared import metrics
from shared.clock import seconds_since
from shared.endpoints.record import UPDATE_FAILED, EndpointRecord, Status
from shared.endpoints.records import EndpointRecords
from shared.log import logger


def report(before: EndpointRecord, after: EndpointRecord, now: datetime) -> None:
    """Log and count it when an endpoint came into service, failed or was given up with this change of its record."""
    reason = after.failure.message if after.failure else None
    if before.awaited_since and _runs_as_wanted(after):
        seconds = seconds_since(before.awaited_since, now)
        logger.info("endpoint in service", seconds=seconds)
        metrics.record(metrics.PROVISIONING_IN_SERVICE)
        metrics.record(metrics.PROVISIONING_SECONDS, seconds)
    if _has_failed(after) and not _has_failed(before):
        logger.warning("endpoint failed", reason=reason)
        metrics.record(metrics.PROVISIONING_FAILED)
    if after.given_up and not before.given_up:
        logger.error("endpoint given up", attempts=after.attempts, reason=reason)
        metrics.record(metrics.PROVISIONING_GIVEN_UP)


def report_state(endpoints: EndpointRecords) -> None:
    """Record how many endpoints are not as they should be; zero as well, so that an alarm knows that all is well."""
    metrics.record(metrics.ENDPOINTS_FAILED, endpoints.count_failed())
    metrics.record(metrics.ENDPOINTS_GIVEN_UP, endpoints.count_given_up())
    metrics.record(metrics.ENDPOINTS_UNSETTLED, endpoints.count_unsettled())


def _runs_as_wanted(record: EndpointRecord) -> bool:
    in_service = record.status is Status.IN_SERVICE and record.managed
    return in_service and record.config_name == record.target and record.awaited_since is None


def _has_failed(record: EndpointRecord) -> bool:
    taken_back = record.failure is not None and record.failure.code == UPDATE_FAILED
    return record.managed and (record.status is Status.FAILED or taken_back)
