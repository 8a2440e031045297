"""Removing a bot, and on request the endpoints that were made for it alone."""

from dataclasses import replace
from typing import Final

from shared.bots.fields import endpoint_names, is_name
from shared.bots.page import BotQuery
from shared.bots.registry import BotChangedError, BotRegistry, StoredBot
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
        doomed = _doom(bot, bots, endpoints) if with_endpoints else []
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


def _doom(bot: StoredBot, bots: BotRegistry, endpoints: EndpointRecords) -> list[str]:
    """Note which endpoints are to go: ours, and named by this bot alone."""
    records = endpoints.get_many(endpoint_names(bot.fields))
    doomed = []
    for record in records.values():
        if record.managed and not _others(bot, record.name, bots):
            endpoints.update(record.name, lambda now: replace(now, present=False))
            # A bot that was registered between the look and the note wants the endpoint to stay.
            if _others(bot, record.name, bots):
                endpoints.update(record.name, lambda now: replace(now, present=True))
            else:
                doomed.append(record.name)
    return doomed


def _others(bot: StoredBot, endpoint: str, bots: BotRegistry) -> bool:
    return any(other.name != bot.name for other in bots.page(BotQuery(endpoint_name=endpoint), size=2))


def _start_removal(name: str, doomed: list[str], trigger: Trigger, correlation_id: str) -> None:
    try:
        trigger.provision(name, doomed, correlation_id)
        logger.info("removal of endpoints triggered", bot=name, endpoints=doomed)
    except TriggerError:
        logger.exception("removal of endpoints not triggered", bot=name, endpoints=doomed)
