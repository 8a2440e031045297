"""GET /bots/{name}: a bot's configuration and what its endpoints are doing."""

from shared.api import Answer, Request, operation
from shared.bots.read import read_bot
from shared.bots.registry import bots
from shared.endpoints.records import endpoints
from shared.errors import BotNotFoundError


@operation(answers={200: "Bot", 304: None}, raises=[BotNotFoundError])
def handler(request: Request) -> Answer:
    """Read a bot back, with the state of its endpoints."""
    bot = read_bot(request.path["name"], bots=bots(), endpoints=endpoints())
    headers = {"ETag": bot.etag}
    if request.preconditions.already_has(bot.etag):
        return Answer(304, headers=headers)
    return Answer(200, bot.body, headers)
