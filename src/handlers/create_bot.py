"""POST /bots: register a bot and see to its endpoints."""

from shared.api import Answer, Request, operation
from shared.bots.answer import rehearsed, written
from shared.bots.policy import policy
from shared.bots.register import create, creation
from shared.bots.registry import bots
from shared.errors import BotAlreadyExistsError, InvalidConfigurationError
from shared.metrics import REGISTRATIONS_REFUSED
from shared.preconditions import Preconditions


@operation(
    body="BotConfig",
    query=["validate_only"],
    refusals=REGISTRATIONS_REFUSED,
    answers={201: "Bot", 200: "Bot or Rehearsal"},
    raises=[BotAlreadyExistsError, InvalidConfigurationError],
)
def handler(request: Request) -> Answer:
    """Register a bot: the same configuration again is no error, another one under its name is."""
    name, change = creation(request.json(), policy())
    if request.flag("validate_only"):
        return rehearsed(name, change, Preconditions())
    bot, is_new = create(name, change, bots=bots())
    return written(bot, request.id, created_at=f"{request.address}/{bot.name}" if is_new else None)
