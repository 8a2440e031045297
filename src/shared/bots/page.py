"""A page of the list of bots: what may be asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from shared.bots.fields import is_name
from shared.errors import BadRequestError, Violation
from shared.paging import DEFAULT_LIMIT, LIMIT_RULE, TOKEN_RULE, make_token, read_limit, read_token

FILTER_MAX_LENGTH: Final = 64
_FILTERS: Final = ("name_prefix", "endpoint_name", "file_type")


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
        filters = {name: parameters.get(name, "") for name in _FILTERS}
        violations = [
            Violation(f"/{name}", f"must be at most {FILTER_MAX_LENGTH} printable characters")
            for name, value in filters.items()
            if len(value) > FILTER_MAX_LENGTH or not value.isprintable()
        ]
        limit = read_limit(parameters)
        after = read_token(parameters.get("next_token", ""), filters, is_name)
        if limit is None or after is None or violations:
            violations += [LIMIT_RULE] * (limit is None) + [TOKEN_RULE] * (after is None)
            raise BadRequestError("the list cannot be read with these parameters", violations)
        return cls(limit, **filters, after=after)

    def next_token(self, last_name: str) -> str:
        """Make the token of the page that follows the bot `last_name`."""
        return make_token(last_name, {name: getattr(self, name) for name in _FILTERS})
