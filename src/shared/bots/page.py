"""A page of the list of bots: what may be asked, and the token that leads to the next page."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from shared.bots.fields import is_name
from shared.errors import BadRequestError, Violation

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100
FILTER_MAX_LENGTH: Final = 64
_CHECK_LENGTH: Final = 8


@dataclass(frozen=True, slots=True)
class BotQuery:
    """Bots by name: at most `limit` of those that match every filter given, after the name `after`."""

    limit: int = DEFAULT_LIMIT
    name_prefix: str = ""
    endpoint_name: str = ""
    file_type: str = ""
    after: str = ""

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Self:
        """Read query parameters; raise BadRequestError with all that is wrong with them."""
        violations = []
        limit = parameters.get("limit", str(DEFAULT_LIMIT))
        if not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= MAX_LIMIT):
            violations.append(Violation("/limit", f"must be a whole number from 1 to {MAX_LIMIT}"))
        filters = {name: parameters.get(name, "") for name in ("name_prefix", "endpoint_name", "file_type")}
        for name, value in filters.items():
            if len(value) > FILTER_MAX_LENGTH or not value.isprintable():
                violations.append(Violation(f"/{name}", f"must be at most {FILTER_MAX_LENGTH} printable characters"))
        token = parameters.get("next_token", "")
        after = _read_token(token, filters) if token else ""
        if after is None:
            violations.append(Violation("/next_token", "must be the next_token of a page with the same filters"))
        if violations or after is None:
            raise BadRequestError("the list cannot be read with these parameters", violations)
        return cls(int(limit), **filters, after=after)

    def next_token(self, last_name: str) -> str:
        """Make the token of the page that follows the bot `last_name`."""
        filters = {"name_prefix": self.name_prefix, "endpoint_name": self.endpoint_name, "file_type": self.file_type}
        return base64.urlsafe_b64encode(_check(last_name, filters) + last_name.encode()).rstrip(b"=").decode()


def _check(name: str, filters: Mapping[str, Any]) -> bytes:
    """Tie a token to its filters.

    It guards against mix-ups and damage, not against forgery: a forged token starts a page at another name, which
    its author could read anyway.
    """
    return hashlib.sha256(json.dumps([name, sorted(filters.items())]).encode()).digest()[:_CHECK_LENGTH]


def _read_token(token: str, filters: Mapping[str, Any]) -> str | None:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        name = raw[_CHECK_LENGTH:].decode("ascii")
    except (binascii.Error, ValueError):
        return None
    # The same bytes have several spellings in base64; only the one that we write is ours.
    canonical = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    if canonical != token or not is_name(name) or raw[:_CHECK_LENGTH] != _check(name, filters):
        return None
    return name
