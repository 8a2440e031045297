"""The door to the account that is deployed into: it asks, and changes nothing."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

#: What an operation's name begins with that only reads.
READING: Final = ("describe_", "get_", "head_", "list_")
# Somebody waits: a service that does not answer shall be said to be so, soon.
_CONFIG: Final = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3, "mode": "standard"})


class CouldNotLookError(Exception):
    """Raised when the account did not answer; says what was asked, and why there is no answer."""


class Account:
    """Asks AWS with the credentials of the person who deploys."""

    def __init__(self, session: boto3.Session) -> None:
        self._session = session
        self.client = cache(self._client)

    def ask(self, service: str, operation: str, *, absent: tuple[str, ...] = (), **parameters: Any) -> Any:
        """Ask once; None where the answer is an error whose code, or whose sentence, holds one of `absent`.

        Raise CouldNotLookError for any other error: what was not seen is not taken to be absent.
        """
        try:
            return getattr(self.client(service), _reading(operation))(**parameters)
        except ClientError as error:
            code, sentence = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            if any(word == code or word in sentence for word in absent):
                return None
            raise CouldNotLookError(f"{service} {operation}: {sentence or code} ({code})") from error
        except BotoCoreError as error:
            raise CouldNotLookError(f"{service} {operation}: {error}") from error

    def ask_all(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[Mapping[str, Any]]:
        """Ask page by page and give what all of them hold under `key`; raise CouldNotLookError."""
        token: dict[str, Any] = {}
        while True:
            answer = self.ask(service, operation, **parameters, **token)
            yield from answer.get(key, [])
            following = next((name for name in ("NextToken", "nextToken") if answer.get(name)), None)
            if following is None:
                return
            token = {following: answer[following]}

    def _client(self, service: str) -> Any:
        return self._session.client(service, config=_CONFIG)


def _reading(operation: str) -> str:
    if not operation.startswith(READING):
        raise ValueError(f"{operation} may change something")
    return operation
