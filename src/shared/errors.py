"""Every error that the product raises on purpose.

ByobError
├── BadRequestError            400  the request cannot be read: malformed JSON, a bad parameter or header
├── BotNotFoundError           404  no bot of that name is registered
├── MethodNotAllowedError      405  the path is known, the method is not
├── BotAlreadyExistsError      409  another configuration is registered under that name
├── PreconditionFailedError    412  If-Match or If-None-Match does not hold
├── BodyTooLargeError          413  the body is larger than the service reads
├── InvalidConfigurationError  422  the configuration breaks rules; all of them are listed
├── RegistryUnavailableError   503  OpenSearch is away, slow or refuses; the request may be sent again
├── ConcurrentChangeError      503  the document kept changing under us; the request may be sent again
├── SageMakerError             kept in the endpoint's record, never an HTTP answer
│   └── ConfigNotVisibleError  SageMaker does not see yet what it made a moment ago
├── TriggerError               kept in the endpoint's record, never an HTTP answer
└── SettingsError              a deployment mistake: the caller sees a fixed 500
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: a JSON pointer (RFC 6901) to the field, and what would be right."""

    pointer: str
    detail: str


class ByobError(Exception):
    """The root; `status` is the HTTP status, `kind` names the error in the problem document's `type`."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal Server Error"

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that the answer carries because of this error."""
        return {}

    @property
    def violations(self) -> Sequence[Violation]:
        """The broken rules, where the error is about several."""
        return ()


class BadRequestError(ByobError):
    """Raised at the edge when a request cannot be read."""

    status = 400
    kind = "bad-request"
    title = "Bad Request"

    def __init__(self, detail: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(detail)
        self._violations = tuple(violations)

    @property
    def violations(self) -> Sequence[Violation]:  # noqa: D102 - see the root
        return self._violations


class BotNotFoundError(ByobError):
    """Raised when a bot is asked for that is not registered."""

    status = 404
    kind = "bot-not-found"
    title = "Bot Not Found"

    def __init__(self, name: str) -> None:
        super().__init__(f"no bot named {name!r} is registered")


class MethodNotAllowedError(ByobError):
    """Raised for a method that no operation of this path answers."""

    status = 405
    kind = "method-not-allowed"
    title = "Method Not Allowed"

    def __init__(self, method: str, path: str, allowed: Sequence[str]) -> None:
        self._allow = ", ".join(allowed)
        super().__init__(f"{path} does not answer {method}; it answers {self._allow}")

    @property
    def headers(self) -> Mapping[str, str]:  # noqa: D102 - see the root
        return {"Allow": self._allow}


class BotAlreadyExistsError(ByobError):
    """Raised when a name is taken by another configuration."""

    status = 409
    kind = "bot-already-exists"
    title = "Bot Already Exists"

    def __init__(self, name: str, differing: Sequence[str] = ()) -> None:
        what = f", with another {', '.join(differing)}" if differing else ""
        super().__init__(
            f"a bot named {name!r} is registered already{what}; "
            f"send PUT /bots/{name} to replace it, or choose another name"
        )


class PreconditionFailedError(ByobError):
    """Raised when the caller's precondition does not hold for the bot as it is now."""

    status = 412
    kind = "precondition-failed"
    title = "Precondition Failed"


class BodyTooLargeError(ByobError):
    """Raised for a body of more bytes than the service reads."""

    status = 413
    kind = "body-too-large"
    title = "Content Too Large"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes")


class InvalidConfigurationError(ByobError):
    """Raised with every rule that a configuration breaks."""

    status = 422
    kind = "invalid-configuration"
    title = "Invalid Configuration"

    def __init__(self, violations: Sequence[Violation]) -> None:
        self._violations = tuple(violations)
        fields = ", ".join(dict.fromkeys(v.pointer or "the body" for v in violations))
        count = f"{len(violations)} rules" if len(violations) > 1 else "a rule"
        super().__init__(f"the configuration breaks {count}: {fields}")

    @property
    def violations(self) -> Sequence[Violation]:  # noqa: D102 - see the root
        return self._violations


class _RetryLaterError(ByobError):
    """An answer that invites the caller to send the same request again."""

    status = 503
    retry_after_seconds: ClassVar[int] = 2

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after_seconds)}


class RegistryUnavailableError(_RetryLaterError):
    """Raised when OpenSearch cannot be reached, is too slow, or refuses for a reason of its own."""

    kind = "registry-unavailable"
    title = "Registry Unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the registry cannot be used now ({reason}); sending the request again is safe")


class ConcurrentChangeError(_RetryLaterError):
    """Raised when a document changed under each of several attempts to write it."""

    kind = "concurrent-change"
    title = "Concurrent Change"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is being changed by others; send the request again")


class SageMakerError(ByobError):
    """Raised when SageMaker refuses or cannot be reached; `code` is its own error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConfigNotVisibleError(SageMakerError):
    """Raised when an endpoint config that exists is not found; SageMaker's parts agree a moment later."""


class TriggerError(ByobError):
    """Raised when the provisioning function could not be invoked."""


class SettingsError(ByobError):
    """Raised with the names of all environment variables that are missing."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(f"missing environment variables: {', '.join(missing)}")
