"""The door to the provisioning function: an asynchronous Lambda invoke."""

import json
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared import aws, settings
from shared.errors import TriggerError

_CONFIG: Final = Config(connect_timeout=1, read_timeout=4, retries={"total_max_attempts": 2, "mode": "standard"})


class Trigger:
    """Asks the provisioning function to bring endpoints to what is wanted of them."""

    @cached_property
    def _client(self) -> Any:
        return aws.client("lambda", config=_CONFIG)

    def provision(self, bot: str, endpoints: Sequence[str], correlation_id: str) -> None:
        """Hand over the work and return at once (InvocationType Event); raise TriggerError."""
        payload = {"bot": bot, "endpoints": list(endpoints), "correlation_id": correlation_id}
        try:
            self._client.invoke(
                FunctionName=settings.provision_function(),
                InvocationType="Event",
                Payload=json.dumps(payload).encode(),
            )
        except (ClientError, BotoCoreError) as error:
            raise TriggerError(f"the provisioning function could not be invoked: {error}") from error


@cache
def trigger() -> Trigger:
    """Give the door, made on first use."""
    return Trigger()
