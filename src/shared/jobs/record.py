"""The job: what it is to do, how far it has come, and how it may go on from there."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from shared.clock import flat
from shared.errors import JobStateError, JobStoppedError

#: Fields that a job takes over from its bot as it is when the job (or a retry of it) begins.
BOT_FIELDS: Final = ("bot_image", "bot_image_cmd", "bot_vcpu", "bot_mem", "endpoint_name")


class JobStatus(StrEnum):
    """Where a job is on its way."""

    QUEUED = "QUEUED"
    WAITING = "WAITING"  # for its endpoints
    LISTING = "LISTING"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    COMPLETED = "COMPLETED"
    COMPLETED_WITH_ERRORS = "COMPLETED_WITH_ERRORS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


_WAY: Final = (JobStatus.QUEUED, JobStatus.WAITING, JobStatus.LISTING, JobStatus.RUNNING)
UNFINISHED: Final = frozenset({*_WAY, JobStatus.CANCELLING})


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are `YYYY-MM-DD HH:MM:SS` in UTC, "" where there is none.

    `run` counts the executions: 1, and one more for each retry; `started_date` and `finished_date` are those of the
    current run. `s3_path` is a prefix of keys, "" for the whole bucket. Not shown: `listed`, all files are in the work
    list; `running_since` and `finished_before`, when this run's slices began, and the files that were finished by then.
    """

    job_id: str
    bot_name: str
    s3_bucket: str
    s3_path: str
    output_s3_bucket: str
    output_s3_prefix: str
    number_of_bots: int
    bulk_size: int
    bot_image: str
    bot_image_cmd: str
    bot_vcpu: int | str
    bot_mem: int | str
    endpoint_name: str
    file_types: str
    status: JobStatus
    created_date: str
    update_date: str
    reason: str = ""
    run: int = 1
    started_date: str = ""
    finished_date: str = ""
    listed: bool = False
    running_since: str = ""
    finished_before: int = 0

    @classmethod
    def new(cls, id: str, request: Mapping[str, Any], bot: Mapping[str, Any], now: datetime) -> Self:
        """Make a job of what was asked for and of the bot's flat fields."""
        taken = {field: bot[field] for field in (*BOT_FIELDS, "file_types")}
        return cls(
            **request, **taken, job_id=id, status=JobStatus.QUEUED, created_date=flat(now), update_date=flat(now)
        )

    @property
    def is_finished(self) -> bool:
        """Whether nothing goes on any more unless the job is retried."""
        return self.status not in UNFINISHED

    def require_finished(self) -> None:
        """Raise JobStateError for a job that is on its way, as only one that is not can be retried."""
        if not self.is_finished:
            raise JobStateError(f"job {self.job_id} is not finished ({self.status}); a retry begins after that")

    def require_run(self, run: int) -> None:
        """Raise JobStoppedError unless the job is still on its way in this run."""
        if self.run != run or self.status not in _WAY:
            raise JobStoppedError(self.job_id)

    def advanced(self, status: JobStatus, run: int, now: datetime) -> Self:
        """Go on to a status of the way; a step that is repeated leads no further back. Raise JobStoppedError."""
        self.require_run(run)
        if _WAY.index(status) <= _WAY.index(self.status):
            return self
        return replace(
            self, status=status, reason="", started_date=self.started_date or flat(now), update_date=flat(now)
        )

    def running(self, run: int, finished_files: int, now: datetime) -> Self:
        """Note that the slices begin, with so many files finished by earlier runs."""
        job = self.advanced(JobStatus.RUNNING, run, now)
        if job.running_since:
            return job
        return replace(job, running_since=flat(now), finished_before=finished_files)

    def ended(self, status: JobStatus, reason: str, now: datetime) -> Self:
        """Note how the run ended, unless it has ended already."""
        if self.is_finished:
            return self
        return replace(self, status=status, reason=reason, finished_date=flat(now), update_date=flat(now))

    def cancelling(self, now: datetime) -> Self:
        """Begin to cancel; raise JobStateError for a job that is finished."""
        if self.is_finished:
            raise JobStateError(f"job {self.job_id} is finished already ({self.status}); there is nothing to cancel")
        if self.status is JobStatus.CANCELLING:
            return self
        return replace(self, status=JobStatus.CANCELLING, reason="", update_date=flat(now))

    def retried(self, bot: Mapping[str, Any], now: datetime) -> Self:
        """Begin the next run, with the bot as it is now; raise JobStateError for a job that is not finished."""
        self.require_finished()
        return replace(
            self,
            **{field: bot[field] for field in BOT_FIELDS},
            status=JobStatus.QUEUED,
            reason="",
            run=self.run + 1,
            started_date="",
            finished_date="",
            running_since="",
            finished_before=0,
            update_date=flat(now),
        )

    def to_source(self) -> dict[str, Any]:
        """Give the document that is stored."""
        return asdict(self)

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> Self:
        """Read the stored document; what other modules add to it is left out."""
        known = {field: source[field] for field in cls.__dataclass_fields__ if field in source}
        return cls(**{**known, "status": JobStatus(known["status"])})
