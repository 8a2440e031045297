"""Bringing endpoints to what their records want: look, plan, carry out, look again."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from shared.clock import rfc3339_now
from shared.endpoints.plan import plan
from shared.endpoints.record import EndpointRecord, Failure, Status
from shared.endpoints.records import EndpointRecords
from shared.endpoints.sagemaker import SageMaker
from shared.errors import SageMakerError
from shared.log import logger

# Each round ends with less to do; what SageMaker needs time for is left to a later run.
_MAX_ROUNDS: Final = 3


def provision(names: Iterable[str], *, endpoints: EndpointRecords, sagemaker: SageMaker) -> list[EndpointRecord]:
    """Bring each endpoint as far as SageMaker lets us now; a refusal is kept in its record, and the others go on."""
    known = endpoints.get_many(names)
    return [_settle(record, endpoints, sagemaker) for record in known.values()]


def _settle(record: EndpointRecord, endpoints: EndpointRecords, sagemaker: SageMaker) -> EndpointRecord:
    try:
        for _ in range(_MAX_ROUNDS):
            observed, at = sagemaker.observe(record.name), rfc3339_now()
            record = endpoints.update(record.name, lambda now: now.seen(observed, at))  # noqa: B023 - called at once
            steps = plan(record, observed)
            for step in steps:
                sagemaker.carry_out(step)
                logger.info("step carried out", endpoint=record.name, step=type(step).__name__)
            if not record.present and observed.status is Status.MISSING:
                endpoints.remove(record.name, unless=lambda now: now.present)
                return record
            if not steps:
                break
    except SageMakerError as error:
        logger.warning("endpoint not provisioned", endpoint=record.name, code=error.code, reason=str(error))
        failure = Failure(error.code, str(error))
        return endpoints.update(record.name, lambda now: replace(now, failure=failure, attempts=now.attempts + 1))
    logger.info("endpoint provisioned", endpoint=record.name, status=record.status.value)
    return record
