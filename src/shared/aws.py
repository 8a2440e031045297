"""AWS as the doors see it: a client for a service, and what a refusal means: come back later, or never."""

from functools import cache
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from shared.errors import AwsUnavailableError, ByobError

_THROTTLES: Final = frozenset(
    {
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


class AwsRefusedError(ByobError):
    """Raised when a service refuses a call for a reason that does not pass; `code` is its own error code."""

    def __init__(self, service: str, code: str, message: str) -> None:
        super().__init__(f"{service} refused: {message} ({code})")
        self.code = code


def client(service: str, *, config: Config) -> Any:
    """Make a client of a service, in the one session of this process.

    It is botocore's, which boto3's wraps: a registration, for which an author waits, loads no more than that. Write the
    name of the service into the call: what ships of botocore's data follows from it (tools/package.py).
    """
    return _session().create_client(service, config=config)


def call(client: Any, operation: str, **parameters: Any) -> dict[str, Any]:
    """Make a call; raise AwsUnavailableError for what passes and AwsRefusedError for what does not."""
    service = client.meta.service_model.service_id
    try:
        answer: dict[str, Any] = getattr(client, operation)(**parameters)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code in _THROTTLES or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise AwsUnavailableError(service, code) from error
        raise AwsRefusedError(service, code, message) from error
    except BotoCoreError as error:
        raise AwsUnavailableError(service, str(error)) from error
    return answer


@cache
def _session() -> Session:
    return Session()
