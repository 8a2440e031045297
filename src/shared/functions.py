"""The door to the stack's other functions: a Lambda invoke that waits for the answer."""

import json
from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, Final

from botocore.config import Config

from shared import aws, settings
from shared.errors import SettingsError, StepFailedError

# A function behind the API has 29 s, and its environment has to be started. One attempt: a second would be another run.
_CONFIG: Final = Config(connect_timeout=3, read_timeout=38, retries={"total_max_attempts": 1, "mode": "standard"})


class Functions:
    """Calls functions by their logical ids."""

    @cached_property
    def _client(self) -> Any:
        return aws.client("lambda", config=_CONFIG)

    def answer_of(self, id: str, event: Mapping[str, Any]) -> Any:
        """Run a function on an event and give what it returns.

        Raise StepFailedError where it fails, AwsRefusedError, AwsUnavailableError where it cannot be run.
        """
        name = settings.functions().get(id)
        if name is None:
            raise SettingsError([f"FUNCTIONS ({id})"])
        answer = aws.call(self._client, "invoke", FunctionName=name, Payload=json.dumps(event).encode())
        result = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise StepFailedError(result.get("errorType", answer["FunctionError"]), result.get("errorMessage", ""))
        return result


@cache
def functions() -> Functions:
    """Give the door, made on first use."""
    return Functions()
