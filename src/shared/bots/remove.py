"""Removing a bot, and on request the endpoints that were made for it alone."""

from dataclasses import replace
from operator import methodcaller
from typing import Final

from shared.bots.fields import endpoint_names, is_name, wanted_endpoints
from shared.bots.page import BotQuery
from shared.bots.registry import BotChangedError, BotRegistry, StoredBot
from shared.endpoints.record import EndpointRecord
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
        let_go = _let_go(bot, bots, endpoints, remove=with_endpoints)
        try:
            bots.delete(bot)
            break
        except BotChangedError as changed:
            bot = changed.now
    else:
        raise ConcurrentChangeError(f"bot {name!r}")
    logger.info("bot removed", bot=name)
    if let_go:
        _hand_over(name, let_go, trigger, correlation_id)


def _let_go(bot: StoredBot, bots: BotRegistry, endpoints: EndpointRecords, *, remove: bool) -> list[str]:
    """Note which endpoints nobody needs any more, as this bot alone names them; give their names.

    Those that we made go where `remove` says so. Else they stay, and what is not there yet is not made any more.
    """
    let_go = []
    for record in endpoints.get_many(endpoint_names(bot.fields)).values():
        if _another(bot, record.name, bots):
            continue
        endpoints.upsert(record.name, _absent if remove else _unneeded)
        # A bot that was registered between the look and the note wants the endpoint to stay.
        if other := _another(bot, record.name, bots):
            wishes = {name.lower(): wish for name, wish in wanted_endpoints(other.fields).items()}
            endpoints.upsert(record.name, methodcaller("wishing", wishes[record.key]))
        else:
            let_go.append(record.name)
    return let_go


def _absent(record: EndpointRecord) -> EndpointRecord:
    return replace(record.afresh(), present=False)


def _unneeded(record: EndpointRecord) -> EndpointRecord:
    return replace(record.afresh(), needed=False)


def _another(bot: StoredBot, endpoint: str, bots: BotRegistry) -> StoredBot | None:
    found = bots.page(BotQuery(endpoint_name=endpoint), size=2)
    return next((other for other in found if other.name != bot.name), None)


def _hand_over(name: str, let_go: list[str], trigger: Trigger, correlation_id: str) -> None:
    try:
        trigger.provision(name, let_go, correlation_id)
    except TriggerError:
        logger.exception("endpoints not handed over, the schedule takes them up", bot=name, endpoints=let_go)
