"""PUT and PATCH /bots/{name}: create, replace or patch a bot and see to its endpoints."""

from shared.api import Answer, Request, operation
from shared.bots.endpoints import see_to
from shared.bots.register import patch, put
from shared.bots.registry import bots
from shared.bots.view import view
from shared.endpoints.records import endpoints
from shared.endpoints.sagemaker import sagemaker
from shared.endpoints.trigger import trigger
from shared.errors import BotNotFoundError, InvalidConfigurationError, PreconditionFailedError


@operation(
    body="BotConfig",
    answers={200: "Bot", 201: "Bot"},
    raises=[BotNotFoundError, PreconditionFailedError, InvalidConfigurationError],
)
def handler(request: Request) -> Answer:
    """Write a bot: PUT creates or replaces it whole, PATCH merges into it (RFC 7396)."""
    write = patch if request.method == "PATCH" else put
    bot, is_new = write(request.path["name"], request.json(), request.preconditions, bots=bots())
    records = see_to(bot, endpoints=endpoints(), sagemaker=sagemaker(), trigger=trigger(), correlation_id=request.id)
    shown = view(bot, records)
    return Answer.written(shown.body, shown.etag, created_at=request.address if is_new else None)
