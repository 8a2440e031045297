"""Page tokens: the last name that a page showed, tied to the filters of its list."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Final

from shared.errors import Violation

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100
LIMIT_RULE: Final = Violation("/limit", f"must be a whole number from 1 to {MAX_LIMIT}")
TOKEN_RULE: Final = Violation("/next_token", "must be the next_token of a page with the same filters")
_CHECK_LENGTH: Final = 8


def read_limit(parameters: Mapping[str, str]) -> int | None:
    """Give how many items a page may have, None where LIMIT_RULE is broken."""
    text = parameters.get("limit", str(DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0
    return limit if 1 <= limit <= MAX_LIMIT else None


def make_token(last_name: str, filters: Mapping[str, str]) -> str:
    """Make the token of the page that follows `last_name`."""
    return _written(_check(last_name, filters) + last_name.encode())


def read_token(token: str, filters: Mapping[str, str], is_name: Callable[[str], bool]) -> str | None:
    """Give the name that the page begins after ("" for no token), None where TOKEN_RULE is broken."""
    if not token:
        return ""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        name = raw[_CHECK_LENGTH:].decode()
    except (binascii.Error, ValueError):
        return None
    # The same bytes have several spellings in base64; only the one that we write is ours.
    ours = _written(raw) == token and is_name(name) and raw[:_CHECK_LENGTH] == _check(name, filters)
    return name if ours else None


def _written(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _check(name: str, filters: Mapping[str, str]) -> bytes:
    """Tie a token to its filters.

    It guards against mix-ups and damage, not against forgery: a forged token starts a page at another name, which
    its author could read anyway.
    """
    return hashlib.sha256(json.dumps([name, sorted(filters.items())]).encode()).digest()[:_CHECK_LENGTH]
