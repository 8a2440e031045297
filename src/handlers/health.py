"""GET /health: whether the registry can be reached."""

from shared.api import Answer, Request, operation
from shared.opensearch import version


@operation(answers={200: "Health"})
def handler(request: Request) -> Answer:
    """Tell whether the service can do its work: it reaches the registry, and its signature is taken."""
    version()
    return Answer(200, {"status": "ok"})
