"""POST /bots/{name}/deploy: roll the endpoints that we made to the bot's configuration as it is now."""

from shared.api import Answer, Request, operation
from shared.bots.deploy import deploy
from shared.bots.fields import is_name
from shared.bots.registry import bots
from shared.bots.rehearse import rehearse_deploy
from shared.endpoints.checks import checks
from shared.endpoints.records import endpoints
from shared.endpoints.sagemaker import sagemaker
from shared.endpoints.trigger import trigger
from shared.errors import BotNotFoundError


@operation(query=["validate_only"], answers={202: "Deployment", 200: "DeploymentRehearsal"}, raises=[BotNotFoundError])
def handler(request: Request) -> Answer:
    """Bring the endpoints that the platform made to the configuration, and start afresh what was given up."""
    name = request.path["name"]
    if not is_name(name):
        raise BotNotFoundError(name)
    if request.flag("validate_only"):
        would = rehearse_deploy(name, bots=bots(), endpoints=endpoints(), sagemaker=sagemaker(), checks=checks())
        return Answer(200, would)
    actions = deploy(name, bots=bots(), endpoints=endpoints(), trigger=trigger(), correlation_id=request.id)
    return Answer(202, {"name": name, "endpoints": actions})
