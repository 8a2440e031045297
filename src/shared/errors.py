"""Every error that the product raises on purpose.

ByobError
├── BadRequestError            400  the request cannot be read: malformed JSON, a bad parameter or header
├── BotNotFoundError           404  no bot of that name is registered
├── JobNotFoundError           404  there is no job of that id
├── MethodNotAllowedError      405  the path is known, the method is not
├── BotAlreadyExistsError      409  another configuration is registered under that name
├── BotHasJobsError            409  a bot whose jobs are not finished is to be removed
├── JobStateError              409  what is asked of a job does not fit the state it is in
├── PreconditionFailedError    412  If-Match or If-None-Match does not hold
├── BodyTooLargeError          413  the body is larger than the service reads
├── InvalidConfigurationError  422  the configuration breaks rules; all of them are listed
├── InvalidJobError            422  the job breaks rules; all of them are listed
├── IdempotencyKeyReusedError  422  the Idempotency-Key came with another job before
├── RegistryUnavailableError   503  OpenSearch is away, slow or refuses; the request may be sent again
├── ConcurrentChangeError      503  the document kept changing under us; the request may be sent again
├── OutOfTimeError             503  the invocation's time was over; the request may be sent again
├── AwsUnavailableError        503  S3, Step Functions or Batch is away or throttles; the request may be sent again
├── JobCannotRunError          becomes the reason of a job that FAILED, never an HTTP answer
├── JobStoppedError            ends an execution whose job is cancelled or has gone on, never an HTTP answer
├── OperatorError              what an operator asks for cannot be done, never an HTTP answer
├── SageMakerError             kept in the endpoint's record, never an HTTP answer
│   └── ConfigNotVisibleError  SageMaker does not see yet what it made a moment ago
├── TriggerError               kept in the endpoint's record, never an HTTP answer
├── StepFailedError            stands in the self-test's report, never an HTTP answer
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


class JobNotFoundError(ByobError):
    """Raised when a job is asked for that there is not."""

    status = 404
    kind = "job-not-found"
    title = "Job Not Found"

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no job {id!r}")


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


class BotHasJobsError(ByobError):
    """Raised when a bot is to be removed that has jobs which are not finished."""

    status = 409
    kind = "bot-has-jobs"
    title = "Bot Has Jobs"

    def __init__(self, name: str) -> None:
        super().__init__(f"bot {name!r} has jobs that are not finished; wait for them, or cancel them first")


class JobStateError(ByobError):
    """Raised when what is asked of a job does not fit the state it is in."""

    status = 409
    kind = "job-state"
    title = "Job State"


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


class _RulesBrokenError(ByobError):
    """An answer that lists every rule that a document breaks."""

    status = 422
    subject: ClassVar[str]

    def __init__(self, violations: Sequence[Violation]) -> None:
        self._violations = tuple(violations)
        fields = ", ".join(dict.fromkeys(v.pointer or "the body" for v in violations))
        count = f"{len(violations)} rules" if len(violations) > 1 else "a rule"
        super().__init__(f"the {self.subject} breaks {count}: {fields}")

    @property
    def violations(self) -> Sequence[Violation]:
        return self._violations


class InvalidConfigurationError(_RulesBrokenError):
    """Raised with every rule that a configuration breaks."""

    kind = "invalid-configuration"
    title = "Invalid Configuration"
    subject = "configuration"


class InvalidJobError(_RulesBrokenError):
    """Raised with every rule that a job breaks."""

    kind = "invalid-job"
    title = "Invalid Job"
    subject = "job"


class IdempotencyKeyReusedError(ByobError):
    """Raised when an Idempotency-Key comes with another job than before."""

    status = 422
    kind = "idempotency-key-reused"
    title = "Idempotency Key Reused"

    def __init__(self, id: str, differing: Sequence[str]) -> None:
        super().__init__(
            f"this Idempotency-Key was sent before, for job {id}, with another {', '.join(differing)}; "
            "send a new key for a new job"
        )


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


class OutOfTimeError(_RetryLaterError):
    """Raised when an invocation's time is over before its work; what had been begun may have been carried out."""

    kind = "out-of-time"
    title = "Out Of Time"

    def __init__(self) -> None:
        super().__init__("the request took longer than the service may; it may have been carried out, send it again")


class AwsUnavailableError(_RetryLaterError):
    """Raised when S3, Step Functions or Batch cannot be reached, throttles, or fails for a reason of its own."""

    kind = "aws-unavailable"
    title = "AWS Unavailable"

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service} cannot be used now ({reason}); sending the request again is safe")


class JobCannotRunError(ByobError):
    """Raised in a job's execution with the sentence that tells its owner what keeps it from running."""


class JobStoppedError(ByobError):
    """Raised in a job's execution once the job is cancelled, finished, or on a later run."""

    def __init__(self, id: str) -> None:
        super().__init__(f"job {id} is not in this run any more")


class OperatorError(ByobError):
    """Raised when what an operator asks for cannot be done; the sentence says why, and what can."""


class SageMakerError(ByobError):
    """Raised when SageMaker refuses or cannot be reached; `code` is its own error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ConfigNotVisibleError(SageMakerError):
    """Raised when an endpoint config that exists is not found; SageMaker's parts agree a moment later."""


class TriggerError(ByobError):
    """Raised when the provisioning function could not be invoked."""


class StepFailedError(ByobError):
    """Raised in a step of the self-test where what was called fails, or answers otherwise than it should."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SettingsError(ByobError):
    """Raised with the names of all environment variables that are missing."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(f"missing environment variables: {', '.join(missing)}")
