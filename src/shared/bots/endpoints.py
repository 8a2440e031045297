"""What a bot asks of its endpoints: noted in their records, and handed to the control loop."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from shared import clock
from shared.bots.fields import wanted_endpoints
from shared.bots.registry import BotRegistry, StoredBot
from shared.endpoints.plan import plan
from shared.endpoints.record import MOVING, EndpointRecord, Failure, Observed, Status, Wanted
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

    The bot is stored by now, so nothing here fails the registration: what could not be done stands in the records
    that are given back, by lower-cased name.
    """
    wishes = wanted_endpoints(bot.fields)
    known = _known(wishes, endpoints)
    records = {
        name.lower(): _look(known.get(name.lower(), EndpointRecord(name)), wish, endpoints, sagemaker)
        for name, wish in wishes.items()
    }
    to_do = [record.name for record in records.values() if record.wanted and _has_work(record)]
    return records | _triggered(bot.name, to_do, endpoints, trigger, correlation_id)


def note_recent_wishes(*, bots: BotRegistry, endpoints: EndpointRecords) -> None:
    """Note what the bots of the last quarter of an hour ask for, in case their registrations broke off before.

    Of several bots that name one endpoint, the one registered last counts.
    """
    noted: set[str] = set()
    for bot in bots.changed_since(clock.now() - _RECENT):
        for name, wish in wanted_endpoints(bot.fields).items():
            if wish and name.lower() not in noted:
                noted.add(name.lower())
                # One that is on its way out goes first; should the bot want it back, the next look makes it.
                endpoints.upsert(
                    name,
                    lambda record, wish=wish: record.wishing(wish) if record.present else record,  # type: ignore[misc]
                )


def _has_work(record: EndpointRecord) -> bool:
    # Unknown: SageMaker could not be asked here; the control loop asks again before it makes anything.
    return record.status is Status.UNKNOWN or bool(plan(record))


def _known(names: Iterable[str], endpoints: EndpointRecords) -> dict[str, EndpointRecord]:
    try:
        return endpoints.get_many(names)
    except RegistryUnavailableError:
        return {}  # the write that follows will say so


def _look(
    known: EndpointRecord, wanted: Wanted | None, endpoints: EndpointRecords, sagemaker: SageMaker
) -> EndpointRecord:
    try:
        seen: Observed | Failure = sagemaker.observe(known.name)
    except SageMakerError as error:
        logger.exception("endpoint not checked", endpoint=known.name)
        seen = Failure(error.code, f"the endpoint could not be checked: {error}")
    return _noted(endpoints, known.name, lambda record: _wish(record, wanted, seen, clock.now()))


def _wish(record: EndpointRecord, wanted: Wanted | None, seen: Observed | Failure, now: datetime) -> EndpointRecord:
    record = record.wishing(wanted)
    if isinstance(seen, Failure):
        return record.postponed(seen, now)
    # While the control loop holds the record, it has looked at least as late as we have.
    return record if record.is_leased(now) else record.seen(seen, now)


def _triggered(
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


def _noted(endpoints: EndpointRecords, name: str, change: Callable[[EndpointRecord], EndpointRecord]) -> EndpointRecord:
    """Keep the change; where the registry fails now, give back what would have been kept, saying so."""
    try:
        return endpoints.upsert(name, change)
    except (RegistryUnavailableError, ConcurrentChangeError) as error:
        logger.exception("endpoint record not written", endpoint=name)
        record = change(EndpointRecord(name))
        return replace(record, failure=Failure("RecordNotWritten", str(error)))


def deploy(
    name: str, *, bots: BotRegistry, endpoints: EndpointRecords, trigger: Trigger, correlation_id: str
) -> list[dict[str, Any]]:
    """Have the bot's endpoints brought to its configuration as it is now; say of each what will be done.

    Only endpoints that we made are rolled. Failed attempts are forgotten, so that one that was given up starts afresh.
    Raise BotNotFoundError.
    """
    bot = bots.get(name)
    records = {
        endpoint: endpoints.upsert(endpoint, lambda record, wish=wish: asking_to_roll(record, wish))  # type: ignore[misc]
        for endpoint, wish in wanted_endpoints(bot.fields).items()
    }
    actions = [action(record, endpoint) for endpoint, record in records.items()]
    to_do = [record.name for record in records.values() if record.status in MOVING or _has_work(record)]
    failed = _triggered(bot.name, to_do, endpoints, trigger, correlation_id)
    for answer in actions:
        if record := failed.get(answer["name"].lower()):
            answer["detail"] += f"; {record.failure.message}" if record.failure else ""
    return actions


def asking_to_roll(record: EndpointRecord, wanted: Wanted | None) -> EndpointRecord:
    """Take over a bot's wish, and that the endpoint is to be rolled to it where we made it."""
    record = record.wishing(wanted)
    if wanted is None:
        return record
    # An accepted update that is on its way is judged by what it was for, unless it is for the same.
    under_way = record.rolled_from and record.roll_to == record.target
    rolls = record.managed and (record.config_name != record.target or record.status is Status.UPDATE_ROLLBACK_FAILED)
    if under_way or not rolls:
        return record.afresh()
    return replace(record.afresh(), roll_to=record.target, rolled_from="")


def action(record: EndpointRecord, name: str) -> dict[str, Any]:
    """Say in a word and in a sentence what the control loop will do with an endpoint."""
    word, detail = _action(record)
    return {"name": name, "action": word, "detail": detail}


def _action(record: EndpointRecord) -> tuple[str, str]:
    match record.status:
        case Status.UNKNOWN:
            return "wait", "SageMaker has not been asked yet; that comes first"
        case Status.MISSING if record.wanted:
            return "create", f"the endpoint is missing and is made from {record.wanted.image}"
        case Status.MISSING:
            return "none", "the endpoint is missing, and endpoint_ecr_image_path names no image to make it from"
        case _ if not record.managed:
            return "leave", "the endpoint was not made by the platform and is left alone"
        case Status.FAILED if record.wanted:
            return "recreate", f"the endpoint has failed; it is removed and made anew from {record.wanted.image}"
        case status if status in MOVING:
            return "wait", f"SageMaker is at work ({status.value}); what is wanted follows when it is done"
        case _ if record.roll_to:
            return "update", f"the endpoint is rolled from {record.config_name} to {record.roll_to}"
        case _:
            return "none", "the endpoint runs what the configuration asks for"
