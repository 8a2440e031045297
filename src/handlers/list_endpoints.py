"""GET /endpoints: the endpoints by name, with the bots that use them."""

from shared.api import Answer, Request, operation
from shared.bots.registry import bots
from shared.bots.usage import EndpointQuery, read_endpoints
from shared.endpoints.records import endpoints


@operation(answers={200: "EndpointPage"}, query=["limit", "next_token", "unused"])
def handler(request: Request) -> Answer:
    """List endpoints by name, so that an operator sees what costs money; unused=true: those that no bot names."""
    query = EndpointQuery.from_parameters(request.query)
    return Answer(200, read_endpoints(query, bots=bots(), endpoints=endpoints()))
