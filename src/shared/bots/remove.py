"""Removing a bot, and on request the endpoints that were made for it alone."""

from dataclasses import replace
from typing import Final

from shared.bots.fields import endpoint_names, is_name, wanted_endpoints
from shared.bots.page import BotQuery
from shared.bots.registry import BotChangedError, BotRegistry, StoredBot
from shared.endpoints.record import EndpointRecord, Status
from shared.endpoints.records import EndpointRecords
from shared.endpoints.trigger import Trigger
from shared.errors import BotNotFoundError, ConcurrentChangeError, TriggerError
from shared.log import logger
from shared.preconditions import Preconditions

_MAX_ATTEMPTS: Final = 20


def remove(
    name: str,
    preconditions: Preconditions,
    *,
    with_endpoints: bool,
    bots: BotRegistry,
    endpoints: EndpointRecords,
    trigger: Trigger,
    correlation_id: str,
) -> None:
    """Unregister a bot; raise BotNotFoundError or PreconditionFailedError.

    `with_endpoints`: those that we made and that no other bot names are removed as well. That is noted before the
    bot goes, so that a call that broke off can be repeated without leaving an endpoint behind.
    """
    bot = bots.find(name) if is_name(name) else None
    for _ in range(_MAX_ATTEMPTS):
        preconditions.allow_change(bot.version_tag if bot else None)
        if bot is None:
            raise BotNotFoundError(name)
        doomed = _doom(bot, bots, endpoints, with_endpoints=with_endpoints)
        try:
            bots.delete(bot)
            break
        except BotChangedError as changed:
            bot = changed.now
    else:
        raise ConcurrentChangeError(f"bot {name!r}")
    logger.info("bot removed", bot=name)
    if doomed:
        _start_removal(name, doomed, trigger, correlation_id)


def _doom(bot: StoredBot, bots: BotRegistry, endpoints: EndpointRecords, *, with_endpoints: bool) -> list[str]:
    """Note which endpoints are to go, of those that this bot alone names; give their names.

    Ours go where that was asked for. One that is not there yet is not made any more, asked for or not: nobody would
    use it. Of one that is not ours the record alone goes: the control loop knows whose it is.
    """
    doomed = []
    for record in endpoints.get_many(endpoint_names(bot.fields)).values():
        stays = record.managed and record.status is not Status.MISSING
        if (with_endpoints or not stays) and not _others(bot, record.name, bots):
            unknown = record.status is Status.UNKNOWN and not with_endpoints
            endpoints.upsert(record.name, _no_longer_made if unknown else _no_longer_present)
            # A bot that was registered between the look and the note wants the endpoint to stay.
            if other := _others(bot, record.name, bots):
                wanted = wanted_endpoints(other.fields).get(record.name, record.wanted)
                endpoints.upsert(record.name, lambda now, wanted=wanted: now.wishing(wanted))  # type: ignore[misc]
            else:
                doomed.append(record.name)
    return doomed


def _no_longer_present(record: EndpointRecord) -> EndpointRecord:
    return replace(record.afresh(), present=False)


def _no_longer_made(record: EndpointRecord) -> EndpointRecord:
    # It may be there, ours and in use by hand; without being asked to, we do not remove it, but make none either.
    return replace(record.afresh(), wanted=None)


def _others(bot: StoredBot, endpoint: str, bots: BotRegistry) -> StoredBot | None:
    found = bots.page(BotQuery(endpoint_name=endpoint), size=2)
    return next((other for other in found if other.name != bot.name), None)


def _start_removal(name: str, doomed: list[str], trigger: Trigger, correlation_id: str) -> None:
    try:
        trigger.provision(name, doomed, correlation_id)
        logger.info("removal of endpoints triggered", bot=name, endpoints=doomed)
    except TriggerError:
        logger.exception("removal of endpoints not triggered", bot=name, endpoints=doomed)
