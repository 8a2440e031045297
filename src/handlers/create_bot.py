"""POST /bots: register a bot and see to its endpoints."""

from shared.api import Answer, Request, operation
from shared.bots.config import BotConfig
from shared.bots.endpoints import see_to
from shared.bots.register import create
from shared.bots.registry import bots
from shared.bots.view import view
from shared.endpoints.records import endpoints
from shared.endpoints.sagemaker import sagemaker
from shared.endpoints.trigger import trigger
from shared.errors import BotAlreadyExistsError, InvalidConfigurationError


@operation(
    body="BotConfig", answers={201: "Bot", 200: "Bot"}, raises=[BotAlreadyExistsError, InvalidConfigurationError]
)
def handler(request: Request) -> Answer:
    """Register a bot: the same configuration again is no error, another one under its name is."""
    bot, is_new = create(BotConfig.from_json(request.json()), bots=bots())
    records = see_to(bot, endpoints=endpoints(), sagemaker=sagemaker(), trigger=trigger(), correlation_id=request.id)
    shown = view(bot, records)
    return Answer.written(shown.body, shown.etag, created_at=f"{request.address}/{bot.name}" if is_new else None)
