"""Pages of jobs and of a job's files: what may be asked."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from shared.bots.fields import NAME_RULE, is_name
from shared.errors import BadRequestError, Violation
from shared.jobs.item import ItemStatus
from shared.jobs.record import JobStatus
from shared.paging import LIMIT_RULE, TOKEN_RULE, make_token, read_limit, read_token

JOB_ID_PATTERN: Final = r"[0-9a-f]{32}"
_job_id: Final = re.compile(JOB_ID_PATTERN)
_position: Final = re.compile(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {JOB_ID_PATTERN}")
_MAX_KEY_LENGTH: Final = 1024


def is_job_id(text: str) -> bool:
    """Tell whether a job could have this id."""
    return _job_id.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Jobs, the newest first: at most `limit`, of this bot and status ("": any), after the one at `after`.

    `after` is a job's created_date and id, with a space between.
    """

    limit: int
    bot_name: str = ""
    status: str = ""
    after: str = ""

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Self:
        """Read query parameters; raise BadRequestError with all that is wrong with them."""
        bot_name, status = parameters.get("bot_name", ""), parameters.get("status", "")
        violations = _violations_of_status(status, JobStatus)
        if bot_name and not is_name(bot_name):
            violations.insert(0, Violation("/bot_name", f"must be {NAME_RULE}"))
        filters = {"bot_name": bot_name, "status": status}
        limit, after = _page(parameters, filters, lambda text: bool(_position.fullmatch(text)), violations)
        return cls(limit, bot_name, status, after)

    def next_token(self, created_date: str, job_id: str) -> str:
        """Make the token of the page that follows a job."""
        return make_token(f"{created_date} {job_id}", {"bot_name": self.bot_name, "status": self.status})


@dataclass(frozen=True, slots=True)
class FileQuery:
    """Files of a job by key: at most `limit`, of this status ("": any), after the key `after`."""

    job_id: str
    limit: int
    status: str = ""
    after: str = ""

    @classmethod
    def from_parameters(cls, job_id: str, parameters: Mapping[str, str]) -> Self:
        """Read query parameters; raise BadRequestError with all that is wrong with them."""
        status = parameters.get("status", "")
        filters = {"job_id": job_id, "status": status}
        violations = _violations_of_status(status, ItemStatus)
        limit, after = _page(parameters, filters, lambda key: 1 <= len(key) <= _MAX_KEY_LENGTH, violations)
        return cls(job_id, limit, status, after)

    def next_token(self, last_key: str) -> str:
        """Make the token of the page that follows a file."""
        return make_token(last_key, {"job_id": self.job_id, "status": self.status})


def _violations_of_status(status: str, known: type[JobStatus] | type[ItemStatus]) -> list[Violation]:
    wrong = status and status not in list(known)
    return [Violation("/status", f"must be one of {', '.join(known)}")] if wrong else []


def _page(
    parameters: Mapping[str, str],
    filters: Mapping[str, str],
    is_position: Callable[[str], bool],
    violations: list[Violation],
) -> tuple[int, str]:
    limit = read_limit(parameters)
    after = read_token(parameters.get("next_token", ""), filters, is_position)
    if limit is None or after is None or violations:
        violations += [LIMIT_RULE] * (limit is None) + [TOKEN_RULE] * (after is None)
        raise BadRequestError("the list cannot be read with these parameters", violations)
    return limit, after
