"""The endpoint record: what is wanted of a SageMaker endpoint, what was last seen of it, and how the attempts went."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

from shared.clock import rfc3339

#: So often is a refused or failed change tried, over some 20 hours, before only `deploy` starts it afresh.
MAX_ATTEMPTS: Final = 24
_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(hours=1)
#: Longer than the functions that hold a lease can run, so that only a crash leaves one behind.
LEASE: Final = timedelta(seconds=150)


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


#: An endpoint that is wanted is made.
_TO_BE_MADE: Final = frozenset({Status.UNKNOWN, Status.MISSING, Status.FAILED})
#: SageMaker is at work; nothing can be changed until it is done.
MOVING: Final = frozenset(
    {Status.CREATING, Status.UPDATING, Status.SYSTEM_UPDATING, Status.ROLLING_BACK, Status.DELETING}
)


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


#: SageMaker went back to the configuration before; only a new `deploy` tries again.
UPDATE_FAILED: Final = "UpdateFailed"
ENDPOINT_FAILED: Final = "EndpointFailed"
_NO_REASON: Final = "SageMaker gives no reason; look into the endpoint's own log"
NO_IMAGE: Final = Failure(
    "EndpointMissing", "no endpoint of this name exists, and endpoint_ecr_image_path names no image to make it from"
)


@dataclass(frozen=True, slots=True)
class Observed:
    """What SageMaker says of an endpoint.

    `managed`: it bears our tag. `modified_at`: SageMaker's LastModifiedTime, which moves with every change.
    """

    status: Status
    config_name: str = ""
    managed: bool = False
    failure_reason: str = ""
    modified_at: str = ""


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """One endpoint: wanted, observed, and how the attempts to bring them together went.

    Times are RFC 3339 in UTC, "" or None where there is none.

    `wanted` None: the author runs it, we never make it. `present` False asks for removal. `needed` False: no bot names
    it any more; it is not made, and not removed either where it is there. `artefacts`: names of the models and configs
    that we may have made and not yet removed, noted before they are made. `roll_to`: the config that `deploy` asked
    for. `rolled_from`: the endpoint's modified_at when SageMaker accepted the update to it. `leased_until`: somebody
    carries out steps until then, `leased_by` tells which run; `nudged`: others came meanwhile, so they look once more.
    `leaving`: the bot whose removal was begun together with the endpoint's; nothing is removed before that bot is gone.
    `requested_by`: id of the request that last changed what is wanted. `awaited_since`: since when it is waited for
    that the endpoint comes into service as wanted; None where it is, or where nobody waits.
    """

    name: str
    wanted: Wanted | None = None
    present: bool = True
    needed: bool = True
    managed: bool = False
    status: Status = Status.UNKNOWN
    since: str | None = None
    config_name: str = ""
    modified_at: str = ""
    artefacts: tuple[str, ...] = ()
    roll_to: str = ""
    rolled_from: str = ""
    failure: Failure | None = None
    attempts: int = 0
    next_attempt_at: str | None = None
    observed_at: str | None = None
    leased_until: str = ""
    leased_by: str = ""
    nudged: bool = False
    leaving: str = ""
    requested_by: str = ""
    awaited_since: str | None = None

    @property
    def key(self) -> str:
        """The record's id: SageMaker's endpoint names do not differ by case."""
        return self.name.lower()

    @property
    def target(self) -> str:
        """Name of the model and the config that make what is wanted, "" where nothing of ours is."""
        return self.wanted.artefact_name(self.name) if self.wanted else ""

    @property
    def given_up(self) -> bool:
        """Whether so many attempts failed that only a changed wish or `deploy` starts afresh."""
        return self.attempts >= MAX_ATTEMPTS

    def is_due(self, now: datetime) -> bool:
        """Tell whether the next attempt may be made."""
        return not self.given_up and (self.next_attempt_at is None or self.next_attempt_at <= rfc3339(now))

    def is_leased(self, now: datetime) -> bool:
        """Tell whether somebody is carrying out steps."""
        return self.leased_until > rfc3339(now)

    def wishing(self, wanted: Wanted | None) -> Self:
        """Take over a bot's wish; a changed one starts afresh, as the failures of the old one say nothing of it."""
        record = self if self.present and self.needed else replace(self.afresh(), present=True, needed=True)
        record = replace(record, leaving="")
        if wanted is None or wanted == self.wanted:
            return record
        # A roll that SageMaker has not begun is no longer what anybody asked for.
        return replace(record.afresh(), wanted=wanted, roll_to=self.roll_to if self.rolled_from else "")

    def requested(self, by: str, now: datetime, *, before: Self | None = None) -> Self:
        """Note the request that asks for what is wanted here; with `before`, where it is another wish than that."""
        if before and self._wish == before._wish:
            return self
        waits = self.is_makable and (self.status in _TO_BE_MADE or bool(self.roll_to))
        return replace(self, requested_by=by, awaited_since=rfc3339(now) if waits else self.awaited_since)

    @property
    def _wish(self) -> tuple[Wanted | None, bool, bool]:
        return self.wanted, self.present, self.needed

    @property
    def is_makable(self) -> bool:
        """Whether the endpoint is to be made where it is missing."""
        return self.present and self.needed and self.wanted is not None

    @property
    def is_forgettable(self) -> bool:
        """Whether nobody asks for the endpoint and nothing of ours is there, so that the record has no more use."""
        nothing_ours = self.status is Status.MISSING or (self.status is not Status.UNKNOWN and not self.managed)
        return not (self.present and self.needed) and nothing_ours

    def unneeded(self, *, remove: bool) -> Self:
        """Note that no bot names the endpoint any more, and whether it is to be removed or stays."""
        record = replace(self.afresh(), leaving="")
        return replace(record, present=False) if remove else replace(record, needed=False)

    def afresh(self) -> Self:
        """Forget the failed attempts."""
        return replace(self, failure=None, attempts=0, next_attempt_at=None)

    def seen(self, observed: Observed, now: datetime) -> Self:
        """Take over what SageMaker says, and judge what became of a creation or an update that was under way."""
        return self._seen(observed, now)._waiting(rfc3339(now))

    def _waiting(self, at: str) -> Self:
        """Note since when the endpoint is waited for: until it is in service, and anew where it fails or vanishes."""
        if self.status is Status.MISSING or (self.managed and self.status is Status.FAILED):
            return replace(self, awaited_since=self.awaited_since or at) if self.is_makable else self
        if not self.managed or (self.status is Status.IN_SERVICE and not self.roll_to):
            return replace(self, awaited_since=None)
        return self

    def _seen(self, observed: Observed, now: datetime) -> Self:
        at = rfc3339(now)
        record = replace(
            self,
            status=observed.status,
            since=self.since if observed.status is self.status else at,
            observed_at=at,
        )
        if observed.status is Status.MISSING:
            # Its model and config may be there still; they stay noted as artefacts.
            record = record if record.attempts else record.afresh()
            if record.present and record.needed and not record.wanted:
                record = replace(record, failure=NO_IMAGE)
            return replace(record, config_name="", modified_at="", managed=False, roll_to="", rolled_from="")
        record = replace(
            record, config_name=observed.config_name, modified_at=observed.modified_at, managed=observed.managed
        )
        if not record.managed:
            return replace(record.afresh(), roll_to="", rolled_from="")
        record = record.noting(record.config_name) if record._made_by_us() else record
        if observed.status is Status.FAILED:
            return record._failed(observed, at_first=self.status is not Status.FAILED, now=now)
        if observed.status in MOVING:
            return record
        if record._went_back():
            return record._update_failed(observed)
        if record.config_name == record.target or not (record.roll_to or record._keeps_news()):
            record = record.afresh()
        if record.config_name == record.roll_to:
            record = replace(record, roll_to="", rolled_from="")
        return record

    def noting(self, artefact: str) -> Self:
        """Note a model and config of ours, before they are made."""
        return self if artefact in self.artefacts else replace(self, artefacts=(*self.artefacts, artefact))

    def without(self, artefact: str) -> Self:
        """Note that a model and its config are gone."""
        return replace(self, artefacts=tuple(name for name in self.artefacts if name != artefact))

    def postponed(self, failure: Failure, now: datetime) -> Self:
        """Note that nothing could be tried yet, which is no failed attempt: the schedule takes it up, due at once."""
        return replace(self, failure=failure, next_attempt_at=self.next_attempt_at or rfc3339(now))

    def refused(self, code: str, message: str, now: datetime) -> Self:
        """Note a failed attempt and when the next one follows: pauses double, with jitter, up to an hour."""
        attempts = self.attempts + 1
        if attempts >= MAX_ATTEMPTS:
            message = f"{message} (given up after {attempts} attempts; POST /bots/NAME/deploy starts afresh)"
        next_attempt = None if attempts >= MAX_ATTEMPTS else rfc3339(now + _pause(self.name, attempts))
        return replace(self, failure=Failure(code, message), attempts=attempts, next_attempt_at=next_attempt)

    def _made_by_us(self) -> bool:
        return self.config_name.startswith(f"{self.name[: 63 - 13]}-")

    def _keeps_news(self) -> bool:
        return self.failure is not None and self.failure.code == UPDATE_FAILED

    def _went_back(self) -> bool:
        """Tell whether an accepted update came to nothing: modified_at has moved, the config has not, or not wholly."""
        ended = self.rolled_from not in ("", self.modified_at)
        return ended and (self.config_name != self.roll_to or self.status is Status.UPDATE_ROLLBACK_FAILED)

    def _update_failed(self, observed: Observed) -> Self:
        reason = observed.failure_reason or _NO_REASON
        mixed = observed.status is Status.UPDATE_ROLLBACK_FAILED
        runs = "a mix of the old and the new configuration" if mixed else f"the one before, {self.config_name}"
        message = f"the update to {self.roll_to} failed, and the endpoint runs {runs}: {reason}"
        return replace(self.afresh(), roll_to="", rolled_from="", failure=Failure(UPDATE_FAILED, message))

    def _failed(self, observed: Observed, *, at_first: bool, now: datetime) -> Self:
        reason = observed.failure_reason or _NO_REASON
        record = replace(self, roll_to="", rolled_from="")
        return record.refused(ENDPOINT_FAILED, reason, now) if at_first else record

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
        known["artefacts"] = tuple(known.get("artefacts", ()))
        return cls(**known)


def _pause(name: str, attempts: int) -> timedelta:
    """Give the pause after so many failed attempts: doubling, spread by -25 to +25 % from endpoint to endpoint.

    The spread follows from the name and the count: no two endpoints keep step, and a repeated computation agrees.
    """
    spread = hashlib.sha256(f"{name.lower()} {attempts}".encode()).digest()[0] / 255
    doubled: timedelta = _FIRST_PAUSE * 2 ** (attempts - 1)
    return min(doubled, _LONGEST_PAUSE) * (0.75 + spread / 2)


def shown(record: EndpointRecord | None, name: str, wanted: Wanted | None) -> dict[str, Any]:
    """Show an endpoint as a bot's configuration sees it; `wanted` is what that bot asks for.

    `outdated`: we made the endpoint, and it runs something else than the bot asks for.
    """
    record = record or EndpointRecord(name)
    outdated = bool(record.managed and wanted and record.config_name != wanted.artefact_name(record.name))
    return {
        "name": name,
        "status": record.status.value,
        "managed": record.managed,
        "outdated": outdated,
        "failure": asdict(record.failure) if record.failure else None,
        "next_attempt_at": record.next_attempt_at,
        "observed_at": record.observed_at,
    }
