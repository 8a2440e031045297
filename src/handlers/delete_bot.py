"""DELETE /bots/{name}: unregister a bot, and on request remove the endpoints made for it."""

from shared.api import Answer, Request, operation
from shared.bots.registry import bots
from shared.bots.remove import remove
from shared.endpoints.records import endpoints
from shared.endpoints.trigger import trigger
from shared.errors import BotHasJobsError, BotNotFoundError, PreconditionFailedError
from shared.jobs.registry import jobs


@operation(
    answers={204: None},
    query=["delete_endpoint"],
    raises=[BotNotFoundError, BotHasJobsError, PreconditionFailedError],
)
def handler(request: Request) -> Answer:
    """Unregister a bot; delete_endpoint=true also removes endpoints of ours that no other bot names."""
    remove(
        request.path["name"],
        request.preconditions,
        with_endpoints=request.flag("delete_endpoint"),
        has_jobs=jobs().any_unfinished,
        bots=bots(),
        endpoints=endpoints(),
        trigger=trigger(),
        correlation_id=request.id,
    )
    return Answer(204)
