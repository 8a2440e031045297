"""What a bot asks of its endpoints: noted in their records, and handed to the control loop."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from shared import clock
from shared.bots.fields import wanted_endpoints
from shared.bots.registry import BotRegistry, StoredBot
from shared.endpoints.plan import plan, serves_already
from shared.endpoints.record import EndpointRecord, Failure, Observed, Status, Wanted
from shared.endpoints.records import EndpointRecords
from shared.endpoints.sagemaker import SageMaker
from shared.endpoints.trigger import Trigger
from shared.errors import ConcurrentChangeError, RegistryUnavailableError, SageMakerError, TriggerError
from shared.log import logger

#: Three turns of the schedule.
_RECENT: Final = timedelta(minutes=15)


def see_to(
    bot: StoredBot,
    *,
    endpoints: EndpointRecords,
    sagemaker: SageMaker,
    trigger: Trigger,
    correlation_id: str,
) -> dict[str, EndpointRecord]:
    """Bring the records of a bot's endpoints up to date and trigger the making of those that are missing.

    An endpoint that is in service as the bot wants it, and was looked at lately, costs no look and no write.

    The bot is stored by now, so nothing here fails the registration: what could not be done stands in the records
    that are given back, by lower-cased name.
    """
    wishes = wanted_endpoints(bot.fields)
    known = _known(wishes, endpoints)
    records = {
        name.lower(): _look(
            name, known.get(name.lower()), wish, endpoints=endpoints, sagemaker=sagemaker, by=correlation_id
        )
        for name, wish in wishes.items()
    }
    to_do = [record.name for record in records.values() if record.wanted and has_work(record)]
    return records | hand_over(bot.name, to_do, endpoints, trigger, correlation_id)


def note_recent_wishes(*, bots: BotRegistry, endpoints: EndpointRecords, correlation_id: str) -> None:
    """Note what the bots of the last quarter of an hour ask for, in case their registrations broke off before.

    Of several bots that name one endpoint, the one registered last counts. `correlation_id` stands for the request
    that broke off, whose own is not known.
    """
    noted: set[str] = set()
    for bot in bots.changed_since(clock.now() - _RECENT):
        for name, wish in wanted_endpoints(bot.fields).items():
            if wish and name.lower() not in noted:
                noted.add(name.lower())
                endpoints.upsert(name, partial(_still_wishing, wanted=wish, by=correlation_id))


def _still_wishing(record: EndpointRecord, wanted: Wanted, by: str) -> EndpointRecord:
    # One that is on its way out goes first: whoever asked for that may have come after the bot was registered.
    return record.wishing(wanted).requested(by, clock.now(), before=record) if record.present else record


def has_work(record: EndpointRecord) -> bool:
    """Tell whether the control loop has something to do with an endpoint."""
    # Unknown: SageMaker could not be asked here; the control loop asks again before it makes anything.
    return record.status is Status.UNKNOWN or bool(plan(record))


def _known(names: Iterable[str], endpoints: EndpointRecords) -> dict[str, EndpointRecord]:
    try:
        return endpoints.get_many(names)
    except RegistryUnavailableError:
        return {}  # the write that follows will say so


def _look(
    name: str,
    known: EndpointRecord | None,
    wanted: Wanted | None,
    *,
    endpoints: EndpointRecords,
    sagemaker: SageMaker,
    by: str,
) -> EndpointRecord:
    if known and serves_already(known, wanted, clock.now()):
        return known
    name = known.name if known else name
    try:
        seen: Observed | Failure = sagemaker.observe(name)
    except SageMakerError as error:
        logger.exception("endpoint not checked", endpoint=name)
        seen = Failure(error.code, f"the endpoint could not be checked: {error}")
    return _noted(
        endpoints, name, lambda record: _wish(record, wanted, seen, by, clock.now()), likely_new=known is None
    )


def _wish(
    record: EndpointRecord, wanted: Wanted | None, seen: Observed | Failure, by: str, now: datetime
) -> EndpointRecord:
    record = record.wishing(wanted).requested(by, now, before=record)
    if isinstance(seen, Failure):
        return record.postponed(seen, now)
    # While the control loop holds the record, it has looked at least as late as we have.
    return record if record.is_leased(now) else record.seen(seen, now)


def hand_over(
    bot: str, names: list[str], endpoints: EndpointRecords, trigger: Trigger, correlation_id: str
) -> dict[str, EndpointRecord]:
    """Hand endpoints to the control loop; give the records of those that could not be handed over."""
    if not names:
        return {}
    try:
        trigger.provision(bot, names, correlation_id)
    except TriggerError as error:
        logger.exception("provisioning not triggered", bot=bot, endpoints=names)
        failure = Failure("ProvisioningNotTriggered", f"{error}; the schedule takes it up")
        return {
            name.lower(): _noted(endpoints, name, lambda record: record.postponed(failure, clock.now()))
            for name in names
        }
    logger.info("provisioning triggered", bot=bot, endpoints=names)
    return {}


def _noted(
    endpoints: EndpointRecords,
    name: str,
    change: Callable[[EndpointRecord], EndpointRecord],
    *,
    likely_new: bool = False,
) -> EndpointRecord:
    """Keep the change; where the registry fails now, give back what would have been kept, saying so."""
    try:
        return endpoints.upsert(name, change, likely_new=likely_new)
    except (RegistryUnavailableError, ConcurrentChangeError) as error:
        logger.exception("endpoint record not written", endpoint=name)
        record = change(EndpointRecord(name))
        return replace(record, failure=Failure("RecordNotWritten", str(error)))
