"""Seeing to the endpoints that a registration names: noting what is wanted, and having the missing ones made."""

from collections.abc import Callable
from dataclasses import replace

from shared.bots.fields import wanted_endpoints
from shared.bots.registry import StoredBot
from shared.clock import rfc3339_now
from shared.endpoints.record import EndpointRecord, Failure, Observed, Status, Wanted
from shared.endpoints.records import EndpointRecords
from shared.endpoints.sagemaker import SageMaker
from shared.endpoints.trigger import Trigger
from shared.errors import RegistryUnavailableError, SageMakerError, TriggerError
from shared.log import logger

_NO_IMAGE = Failure(
    "EndpointMissing", "no endpoint of this name exists, and endpoint_ecr_image_path names no image to make it from"
)
# Unknown: SageMaker could not be asked here; provisioning asks again before it makes anything.
_NOT_THERE = frozenset({Status.MISSING, Status.UNKNOWN})


def see_to(
    bot: StoredBot,
    *,
    endpoints: EndpointRecords,
    sagemaker: SageMaker,
    trigger: Trigger,
    correlation_id: str,
) -> dict[str, EndpointRecord]:
    """Bring the records of a bot's endpoints up to date and trigger the making of those that are missing.

    The bot is stored by now, so nothing here fails the registration: what could not be done stands in the records
    that are given back, by lower-cased name.
    """
    records: dict[str, EndpointRecord] = {}
    for name, wish in wanted_endpoints(bot.fields).items():
        records[name.lower()] = _look(name, wish, endpoints, sagemaker)
    to_make = [record.name for record in records.values() if record.wanted and record.status in _NOT_THERE]
    if not to_make:
        return records
    try:
        trigger.provision(bot.name, to_make, correlation_id)
        logger.info("provisioning triggered", bot=bot.name, endpoints=to_make)
    except TriggerError as error:
        logger.exception("provisioning not triggered", bot=bot.name, endpoints=to_make)
        failure = Failure("ProvisioningNotTriggered", f"{error}; registering the bot again starts it")
        for name in to_make:
            records[name.lower()] = _noted(endpoints, name, lambda record: replace(record, failure=failure))
    return records


def _look(name: str, wanted: Wanted | None, endpoints: EndpointRecords, sagemaker: SageMaker) -> EndpointRecord:
    try:
        seen: Observed | Failure = sagemaker.observe(name)
    except SageMakerError as error:
        logger.exception("endpoint not checked", endpoint=name)
        seen = Failure(error.code, f"the endpoint could not be checked: {error}")
    return _noted(endpoints, name, lambda record: _wish(record, wanted, seen))


def _wish(record: EndpointRecord, wanted: Wanted | None, seen: Observed | Failure) -> EndpointRecord:
    if wanted and wanted != record.wanted:
        # A changed wish starts afresh: the failures of the old one say nothing of the new one.
        record = replace(record, wanted=wanted, failure=None, attempts=0, next_attempt_at=None)
    record = replace(record, present=True)
    if isinstance(seen, Failure):
        return replace(record, failure=seen)
    record = record.seen(seen, rfc3339_now())
    if record.status is Status.MISSING:
        # A new attempt follows where there is an image, so that what stopped the last one is no longer the news.
        record = replace(record, failure=None if record.wanted else _NO_IMAGE)
    return record


def _noted(endpoints: EndpointRecords, name: str, change: Callable[[EndpointRecord], EndpointRecord]) -> EndpointRecord:
    """Keep the change; where the registry fails now, give back what would have been kept, saying so."""
    try:
        return endpoints.update(name, change)
    except RegistryUnavailableError as error:
        logger.exception("endpoint record not written", endpoint=name)
        record = change(EndpointRecord(name))
        return replace(record, failure=Failure("RecordNotWritten", str(error)))
