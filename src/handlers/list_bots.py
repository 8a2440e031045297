"""GET /bots: the bots by name, page by page."""

from shared.api import Answer, Request, operation
from shared.bots.page import BotQuery
from shared.bots.read import read_page
from shared.bots.registry import bots
from shared.endpoints.records import endpoints


@operation(answers={200: "BotPage"}, query=["limit", "next_token", "name_prefix", "endpoint_name", "file_type"])
def handler(request: Request) -> Answer:
    """List bots by name; the filters given must all match."""
    query = BotQuery.from_parameters(request.query)
    return Answer(200, read_page(query, bots=bots(), endpoints=endpoints()))
