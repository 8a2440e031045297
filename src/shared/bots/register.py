"""Registering bots: creating, replacing and patching a configuration, never over somebody else's change.

A `Change` is made of what a caller sent; it gives the configuration that follows from the bot as it is now, and may
be asked again when that has changed.
"""

from collections.abc import Callable, Mapping
from typing import Final

from shared import metrics
from shared.bots.config import BotConfig
from shared.bots.fields import is_name
from shared.bots.policy import Policy
from shared.bots.registry import BotChangedError, BotRegistry, StoredBot, TakenError
from shared.clock import flat_now
from shared.errors import (
    BotAlreadyExistsError,
    BotNotFoundError,
    ConcurrentChangeError,
    InvalidConfigurationError,
    Violation,
)
from shared.log import logger
from shared.preconditions import Preconditions

Change = Callable[[StoredBot | None], BotConfig]

# Each failed attempt means that another writer got through, so this many in a row is rare even under load.
_MAX_ATTEMPTS: Final = 20


def creation(data: object, policy: Policy) -> tuple[str, Change]:
    """Read a new bot; give its name and the change. Raise InvalidConfigurationError.

    The same configuration again is no change, so that a call whose answer was lost can be repeated; the change raises
    BotAlreadyExistsError where the name is taken by another configuration.
    """
    config = _checked(data, policy)

    def change(existing: StoredBot | None) -> BotConfig:
        if existing and (fields := differing(existing, config)):
            raise BotAlreadyExistsError(config.name, fields)
        return config

    return config.name, change


def replacement(name: str, data: object, policy: Policy) -> Change:
    """Read a configuration sent to a bot's own address, where its name may be left out but not be another one.

    Raise InvalidConfigurationError.
    """
    config = _checked_for(name, data, policy)
    return lambda _: config


def merge_patch(name: str, changes: object, policy: Policy) -> Change:
    """Read changes to merge into a bot (RFC 7396); raise BotNotFoundError for a name that no bot can have.

    The change raises BotNotFoundError, or InvalidConfigurationError for what follows from the merge.
    """
    if not is_name(name):
        raise BotNotFoundError(name)
    if not isinstance(changes, Mapping):
        raise InvalidConfigurationError([Violation("", "must be a JSON object")])

    def change(existing: StoredBot | None) -> BotConfig:
        if existing is None:
            raise BotNotFoundError(name)
        # The configuration is flat, so a merge patch is an update in which null takes a field away.
        return _checked_for(name, {**existing.fields, **changes}, policy)

    return change


def create(name: str, change: Change, *, bots: BotRegistry) -> tuple[StoredBot, bool]:
    """Carry out a creation without a look first, as the name is free most of the time; tell whether the bot is new."""
    config, now = change(None), flat_now()
    try:
        bot = bots.create({**config.fields(), "create_date": now, "update_date": now})
    except TakenError as taken:
        return _write(name, change, Preconditions(), bots, taken.by)
    logger.info("bot registered", bot=name)
    metrics.record(metrics.REGISTRATIONS_CREATED)
    return bot, True


def update(name: str, change: Change, preconditions: Preconditions, *, bots: BotRegistry) -> tuple[StoredBot, bool]:
    """Carry out a change; give the bot and whether it is new. Raise PreconditionFailedError, or as the change does."""
    return _write(name, change, preconditions, bots, bots.find(name))


def _write(
    name: str, change: Change, preconditions: Preconditions, bots: BotRegistry, existing: StoredBot | None
) -> tuple[StoredBot, bool]:
    """Carry out a change on the bot as it was found, again and again while others change it in between."""
    for _ in range(_MAX_ATTEMPTS):
        preconditions.allow_change(existing.version_tag if existing else None)
        config, now = change(existing), flat_now()
        try:
            if existing is None:
                bot = bots.create({**config.fields(), "create_date": now, "update_date": now})
                logger.info("bot registered", bot=name)
                metrics.record(metrics.REGISTRATIONS_CREATED)
                return bot, True
            if not differing(existing, config):
                logger.info("bot unchanged", bot=name)
                metrics.record(metrics.REGISTRATIONS_UNCHANGED)
                return existing, False
            dates = {"create_date": existing.fields["create_date"], "update_date": now}
            bot = bots.replace({**config.fields(), **dates}, existing.version)
        except TakenError as taken:
            existing = taken.by
        except BotChangedError as changed:
            existing = changed.now
        else:
            logger.info("bot updated", bot=name)
            metrics.record(metrics.REGISTRATIONS_REPLACED)
            return bot, False
    raise ConcurrentChangeError(f"bot {name!r}")


def differing(bot: StoredBot, config: BotConfig) -> list[str]:
    """Name the fields in which a bot and a configuration differ."""
    return [field for field, value in config.fields().items() if bot.fields.get(field) != value]


def _checked(data: object, policy: Policy) -> BotConfig:
    config = BotConfig.from_json(data)
    policy.check(config.fields())
    return config


def _checked_for(name: str, data: object, policy: Policy) -> BotConfig:
    if isinstance(data, Mapping) and not {"name", "bot_name"} & data.keys():
        data = {**data, "name": name}
    config = _checked(data, policy)
    if config.name != name:
        raise InvalidConfigurationError([Violation("/name", f"must be {name!r}, the name in the path")])
    return config
