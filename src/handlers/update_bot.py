"""PUT and PATCH /bots/{name}: create, replace or patch a bot and see to its endpoints."""

from shared.api import Answer, Request, operation
from shared.bots.answer import rehearsed, written
from shared.bots.policy import policy
from shared.bots.register import merge_patch, replacement, update
from shared.bots.registry import bots
from shared.errors import BotNotFoundError, InvalidConfigurationError, PreconditionFailedError
from shared.metrics import REGISTRATIONS_REFUSED


@operation(
    body="BotConfig",
    query=["validate_only"],
    refusals=REGISTRATIONS_REFUSED,
    answers={200: "Bot or Rehearsal", 201: "Bot"},
    raises=[BotNotFoundError, PreconditionFailedError, InvalidConfigurationError],
)
def handler(request: Request) -> Answer:
    """Write a bot: PUT creates or replaces it whole, PATCH merges into it (RFC 7396)."""
    name = request.path["name"]
    read = merge_patch if request.method == "PATCH" else replacement
    change = read(name, request.json(), policy())
    if request.flag("validate_only"):
        return rehearsed(name, change, request.preconditions)
    bot, is_new = update(name, change, request.preconditions, bots=bots())
    return written(bot, request.id, created_at=request.address if is_new else None)
