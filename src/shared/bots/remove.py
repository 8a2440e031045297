"""Removing a bot, and on request the endpoints that were made for it alone."""

from collections.abc import Callable
from dataclasses import replace
from operator import methodcaller
from typing import Final

from shared import clock
from shared.bots.fields import endpoint_names, is_name, wanted_endpoints
from shared.bots.page import BotQuery
from shared.bots.registry import BotChangedError, BotRegistry, StoredBot
from shared.endpoints.record import EndpointRecord
from shared.endpoints.records import EndpointRecords
from shared.endpoints.trigger import Trigger
from shared.errors import BotHasJobsError, BotNotFoundError, ConcurrentChangeError, TriggerError
from shared.log import logger
from shared.preconditions import Preconditions

_MAX_ATTEMPTS: Final = 20
_AT_ONCE: Final = 100


def remove(
    name: str,
    preconditions: Preconditions,
    *,
    with_endpoints: bool,
    has_jobs: Callable[[str], bool],
    bots: BotRegistry,
    endpoints: EndpointRecords,
    trigger: Trigger,
    correlation_id: str,
) -> None:
    """Unregister a bot; raise BotNotFoundError, PreconditionFailedError or BotHasJobsError.

    `has_jobs` tells whether jobs of a bot of this name are not finished. A job that is made between that look and the
    removal fails when it begins, and says why.

    `with_endpoints`: those that we made and that no other bot names are removed as well. That is noted before the bot
    goes, so that a call that broke off leaves no endpoint behind, and done after it, so that no bot loses an endpoint.
    Without it they stay; one that is not there yet is not made any more.
    """
    bot = bots.find(name) if is_name(name) else None
    for _ in range(_MAX_ATTEMPTS):
        preconditions.allow_change(bot.version_tag if bot else None)
        if bot is None:
            raise BotNotFoundError(name)
        if has_jobs(name):
            raise BotHasJobsError(name)
        known = endpoints.get_many(endpoint_names(bot.fields)).values()
        for record in known if with_endpoints else ():
            endpoints.upsert(record.name, lambda now: replace(now, leaving=name))
        try:
            bots.delete(bot)
            break
        except BotChangedError as changed:
            bot = changed.now
    else:
        raise ConcurrentChangeError(f"bot {name!r}")
    logger.info("bot removed", bot=name)
    let_go = [
        record.name for record in known if let_go_of(record, bots, endpoints, correlation_id, remove=with_endpoints)
    ]
    if let_go:
        _hand_over(name, let_go, trigger, correlation_id)


def finish_departures(*, bots: BotRegistry, endpoints: EndpointRecords, correlation_id: str) -> None:
    """End the removals that broke off: endpoints of bots that are gone go, those of bots that stayed stay.

    `correlation_id` stands for the request that broke off, whose own is not known.
    """
    for record in endpoints.leaving(_AT_ONCE):
        if not let_go_of(record, bots, endpoints, correlation_id, remove=True):
            endpoints.upsert(record.name, lambda now: replace(now, leaving=""))
            logger.info("endpoint stays with its bots", endpoint=record.name)


def let_go_of(record: EndpointRecord, bots: BotRegistry, endpoints: EndpointRecords, by: str, *, remove: bool) -> bool:
    """Note that nobody needs an endpoint any more, unless some bot does; tell which of them it was."""
    if _any_user(record.name, bots):
        return False
    endpoints.upsert(record.name, lambda now: now.unneeded(remove=remove).requested(by, clock.now(), before=now))
    # A bot that was registered between the look and the note wants the endpoint to stay.
    user = _any_user(record.name, bots)
    if user:
        wishes = {name.lower(): wish for name, wish in wanted_endpoints(user.fields).items()}
        endpoints.upsert(record.name, methodcaller("wishing", wishes[record.key]))
    return user is None


def _any_user(endpoint: str, bots: BotRegistry) -> StoredBot | None:
    return next(iter(bots.page(BotQuery(endpoint_name=endpoint), size=1)), None)


def _hand_over(name: str, let_go: list[str], trigger: Trigger, correlation_id: str) -> None:
    try:
        trigger.provision(name, let_go, correlation_id)
    except TriggerError:
        logger.exception("endpoints not handed over, the schedule takes them up", bot=name, endpoints=let_go)
