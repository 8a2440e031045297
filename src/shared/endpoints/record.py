"""The endpoint record: what is wanted of a SageMaker endpoint, and what was last seen of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self


class Status(StrEnum):
    """SageMaker API, DescribeEndpoint: EndpointStatus; and two that are ours."""

    IN_SERVICE = "InService"
    CREATING = "Creating"
    UPDATING = "Updating"
    SYSTEM_UPDATING = "SystemUpdating"
    ROLLING_BACK = "RollingBack"
    DELETING = "Deleting"
    FAILED = "Failed"
    OUT_OF_SERVICE = "OutOfService"
    UPDATE_ROLLBACK_FAILED = "UpdateRollbackFailed"
    MISSING = "Missing"  # SageMaker was asked and knows no endpoint of this name
    UNKNOWN = "Unknown"  # SageMaker could not be asked yet


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an endpoint should run: image, `s3://` model data ("" for none), instance type."""

    image: str
    model_data: str
    instance_type: str

    def artefact_name(self, endpoint: str) -> str:
        """Name the model and the endpoint config made for this: `<endpoint>-<hash>`, at most 63 characters.

        The hash survives the cut, so that equal names mean equal content (SageMaker API: ModelName, at most 63).
        """
        digest = hashlib.sha256(json.dumps([self.image, self.model_data, self.instance_type]).encode()).hexdigest()[:12]
        return f"{endpoint[: 63 - 1 - len(digest)]}-{digest}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last attempt came to nothing: an error code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What SageMaker says of an endpoint; `managed` is True where the endpoint bears our tag."""

    status: Status
    config_name: str = ""
    managed: bool = False
    failure_reason: str = ""


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """One endpoint: wanted, observed, and how the attempts to bring them together went.

    `present` False asks for removal. `wanted` None: the author runs it, we never make it. Times are RFC 3339, UTC.
    """

    name: str
    wanted: Wanted | None = None
    present: bool = True
    managed: bool = False
    status: Status = Status.UNKNOWN
    config_name: str = ""
    failure: Failure | None = None
    attempts: int = 0
    next_attempt_at: str | None = None
    observed_at: str | None = None

    @property
    def key(self) -> str:
        """The record's id: SageMaker's endpoint names do not differ by case."""
        return self.name.lower()

    def seen(self, observed: Observed, at: str) -> Self:
        """Take over what SageMaker says; a failure that it tells replaces the one that we knew."""
        failure = self.failure
        if observed.status is Status.FAILED:
            reason = observed.failure_reason or "SageMaker gives no reason; look into the endpoint's own log"
            failure = Failure("EndpointFailed", reason)
        elif observed.status is Status.IN_SERVICE:
            failure = None
        if observed.status is Status.MISSING:
            # Whose it was and what it was made of stay known: its config and model may still have to be removed.
            return replace(self, status=observed.status, failure=failure, observed_at=at)
        return replace(
            self,
            status=observed.status,
            config_name=observed.config_name,
            managed=observed.managed,
            failure=failure,
            observed_at=at,
        )

    def to_source(self) -> dict[str, Any]:
        """Give the document that is stored."""
        return asdict(self)

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> Self:
        """Read the stored document; what other modules add to it is left out."""
        known = {field: source[field] for field in cls.__dataclass_fields__ if field in source}
        known["status"] = Status(known["status"])
        known["wanted"] = Wanted(**known["wanted"]) if known["wanted"] else None
        known["failure"] = Failure(**known["failure"]) if known["failure"] else None
        return cls(**known)


def shown(record: EndpointRecord | None, name: str, wanted: Wanted | None) -> dict[str, Any]:
    """Show an endpoint as a bot's configuration sees it; `wanted` is what that bot asks for.

    `outdated`: we made the endpoint, and it runs something else than the bot asks for.
    """
    record = record or EndpointRecord(name)
    ours = record.managed and record.status not in (Status.MISSING, Status.UNKNOWN)
    outdated = bool(ours and wanted and record.config_name != wanted.artefact_name(record.name))
    return {
        "name": name,
        "status": record.status.value,
        "managed": record.managed,
        "outdated": outdated,
        "failure": {"code": record.failure.code, "message": record.failure.message} if record.failure else None,
        "next_attempt_at": record.next_attempt_at,
        "observed_at": record.observed_at,
    }
