"""ANY other method of a known path: 405 with the methods that the path answers.

API Gateway by itself would answer 403 "Missing Authentication Token", which says nothing of the kind.
"""

from typing import Final

from shared.api import Answer, Request, operation
from shared.errors import MethodNotAllowedError

ALLOWED: Final = {
    "/bots": ("GET", "POST"),
    "/bots/{name}": ("GET", "PUT", "PATCH", "DELETE"),
    "/bots/{name}/deploy": ("POST",),
    "/endpoints": ("GET",),
    "/health": ("GET",),
    "/jobs": ("GET", "POST"),
    "/jobs/{id}": ("GET",),
    "/jobs/{id}/files": ("GET",),
    "/jobs/{id}/cancel": ("POST",),
    "/jobs/{id}/retry": ("POST",),
}


# Whatever the query: the parameters of the methods that the path does answer are not what is wrong.
@operation(answers={}, raises=[MethodNotAllowedError], query=None)
def handler(request: Request) -> Answer:
    """Refuse the method and name those that are answered."""
    raise MethodNotAllowedError(request.method, request.resource, ALLOWED[request.resource])
