"""What POST, PUT and PATCH answer, once they know the change that they are to make."""

from shared.api import Answer
from shared.bots.endpoints import see_to
from shared.bots.register import Change
from shared.bots.registry import StoredBot, bots
from shared.bots.view import view
from shared.endpoints.records import endpoints
from shared.endpoints.sagemaker import sagemaker
from shared.endpoints.trigger import trigger
from shared.preconditions import Preconditions


def written(bot: StoredBot, correlation_id: str, *, created_at: str | None) -> Answer:
    """See to the endpoints of a bot that was written, and show both: 201 with its Location where it is new."""
    records = see_to(
        bot, endpoints=endpoints(), sagemaker=sagemaker(), trigger=trigger(), correlation_id=correlation_id
    )
    shown = view(bot, records)
    return Answer.written(shown.body, shown.etag, created_at=created_at)


def rehearsed(name: str, change: Change, preconditions: Preconditions) -> Answer:
    """Say what a change would do, and do nothing."""
    # Registrations are to answer soon after a cold start, and load nothing for rehearsals.
    from shared.bots.rehearse import rehearse_write  # noqa: PLC0415
    from shared.endpoints.checks import checks  # noqa: PLC0415

    would = rehearse_write(
        name, change, preconditions, bots=bots(), endpoints=endpoints(), sagemaker=sagemaker(), checks=checks()
    )
    return Answer(200, would)
