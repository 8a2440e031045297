"""GET /bots/{name} by Powertools' event handler with validation, logger and metrics, as its documentation shows."""

from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from opensearchpy import exceptions

from benchmarks.peers.model import Bot
from benchmarks.peers.registry import read

logger = Logger(service="peer")
metrics = Metrics(namespace="Peer", service="peer")
app = APIGatewayRestResolver(enable_validation=True)


@app.get("/bots/<name>")
def get_bot(name: str) -> Bot:
    """Read a bot back, with the state of its endpoints."""
    try:
        bot = Bot(**read(name))
    except exceptions.NotFoundError:
        raise NotFoundError(f"bot {name} is not registered") from None
    metrics.add_metric(name="BotsRead", unit=MetricUnit.Count, value=1)
    return bot


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    return app.resolve(event, context)
