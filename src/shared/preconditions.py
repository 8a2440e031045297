"""Entity tags and the conditions that callers put on them (RFC 9110, sections 8.8.3 and 13.1).

A bot's tag has two parts: `"<version of the configuration>.<state of its endpoints>"`. If-Match compares the first
alone, so that an endpoint that moves does not spoil an edit; If-None-Match compares both, so that a 304 never hides
a change of state.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from shared.errors import BadRequestError, PreconditionFailedError, Violation

_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST: Final = re.compile(rf"\s*(?:{_TAG}\s*(?:,\s*|$))+")


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The tags as sent, each with its quotes; None where the header is absent, ("*",) for any."""

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Self:
        """Read both headers; raise BadRequestError for one that is no list of quoted tags."""
        return cls(_tags("If-Match", headers.get("if-match")), _tags("If-None-Match", headers.get("if-none-match")))

    def allow_change(self, version: str | None) -> None:
        """Raise PreconditionFailedError unless a bot at `version` (None: no bot) may be written."""
        if self.if_match is not None:
            if version is None:
                raise PreconditionFailedError("If-Match was sent, and no bot of that name is registered")
            # Weak tags never match here: If-Match compares strongly.
            if self.if_match != ("*",) and version not in (_version(tag) for tag in self.if_match):
                raise PreconditionFailedError("the bot has changed since its ETag was read; read it again")
        if self.if_none_match is not None and version is not None:
            if self.if_none_match == ("*",):
                raise PreconditionFailedError("If-None-Match: * was sent, and a bot of that name is registered")
            if version in (_version(tag.removeprefix("W/")) for tag in self.if_none_match):
                raise PreconditionFailedError("If-None-Match was sent with the ETag of the bot as it is")

    def already_has(self, etag: str) -> bool:
        """Tell whether the caller of a read has this very state (304)."""
        tags = self.if_none_match or ()
        return tags == ("*",) or etag in (tag.removeprefix("W/") for tag in tags)


def _version(tag: str) -> str:
    return tag.strip('"').partition(".")[0] if tag.startswith('"') else ""


def _tags(header: str, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    if value.strip() == "*":
        return ("*",)
    if not _LIST.fullmatch(value):
        raise BadRequestError(
            f"{header} must be * or a list of quoted entity tags", [Violation(f"/{header}", 'must be like "1-1.abc"')]
        )
    return tuple(re.findall(_TAG, value))
