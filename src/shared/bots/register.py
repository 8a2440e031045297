"""Registering bots: creating, replacing and patching a configuration, never over somebody else's change."""

from collections.abc import Callable, Mapping
from typing import Final

from shared.bots.config import BotConfig
from shared.bots.fields import Fields, is_name
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

# Each failed attempt means that another writer got through, so this many in a row is rare even under load.
_MAX_ATTEMPTS: Final = 20


def create(config: BotConfig, *, bots: BotRegistry) -> tuple[StoredBot, bool]:
    """Register a new bot; give it and whether it is new.

    The same configuration again is success, so that a call whose answer was lost can be repeated. Raise
    BotAlreadyExistsError where the name is taken by another configuration.
    """
    now = flat_now()
    for _ in range(_MAX_ATTEMPTS):
        try:
            bot = bots.create({**config.fields(), "create_date": now, "update_date": now})
        except TakenError as taken:
            if taken.by is None:
                continue  # it was removed in between, so the name is free again
            differing = _differing(taken.by, config)
            if differing:
                raise BotAlreadyExistsError(config.name, differing) from None
            return taken.by, False
        logger.info("bot registered", bot=bot.name)
        return bot, True
    raise ConcurrentChangeError(f"bot {config.name!r}")


def put(name: str, data: object, preconditions: Preconditions, *, bots: BotRegistry) -> tuple[StoredBot, bool]:
    """Create or replace the bot `name`; give it and whether it is new.

    Raise InvalidConfigurationError, also where the configuration names another bot, or PreconditionFailedError.
    """
    config = _config_of(name, data)
    return _write(name, lambda _: config, preconditions, bots)


def patch(name: str, changes: object, preconditions: Preconditions, *, bots: BotRegistry) -> tuple[StoredBot, bool]:
    """Merge changes (RFC 7396) into the bot `name`; raise BotNotFoundError and whatever `put` raises."""
    if not isinstance(changes, Mapping):
        raise InvalidConfigurationError([Violation("", "must be a JSON object")])

    def merged(existing: StoredBot | None) -> BotConfig:
        if existing is None:
            raise BotNotFoundError(name)
        # The configuration is flat, so a merge patch is an update in which null takes a field away.
        return _config_of(name, {**existing.fields, **changes})

    if not is_name(name):
        raise BotNotFoundError(name)
    return _write(name, merged, preconditions, bots)


def _write(
    name: str, wanted: Callable[[StoredBot | None], BotConfig], preconditions: Preconditions, bots: BotRegistry
) -> tuple[StoredBot, bool]:
    existing = bots.find(name)
    for _ in range(_MAX_ATTEMPTS):
        preconditions.allow_change(existing.version_tag if existing else None)
        config, now = wanted(existing), flat_now()
        try:
            if existing is None:
                bot = bots.create({**config.fields(), "create_date": now, "update_date": now})
                logger.info("bot registered", bot=name)
                return bot, True
            if not _differing(existing, config):
                return existing, False
            dates = {"create_date": existing.fields["create_date"], "update_date": now}
            bot = bots.replace({**config.fields(), **dates}, existing.version)
        except TakenError as taken:
            existing = taken.by
        except BotChangedError as changed:
            existing = changed.now
        else:
            logger.info("bot updated", bot=name)
            return bot, False
    raise ConcurrentChangeError(f"bot {name!r}")


def _config_of(name: str, data: object) -> BotConfig:
    """Check a configuration that is sent to a bot's own address, where its name may be left out."""
    if isinstance(data, Mapping) and not {"name", "bot_name"} & data.keys():
        data = {**data, "name": name}
    config = BotConfig.from_json(data)
    if config.name != name:
        raise InvalidConfigurationError([Violation("/name", f"must be {name!r}, the name in the path")])
    return config


def _differing(bot: StoredBot, config: BotConfig) -> list[str]:
    fields: Fields = config.fields()
    return [field for field, value in fields.items() if bot.fields.get(field) != value]
