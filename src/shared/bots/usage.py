"""The endpoints as an operator sees them: what each is, what it costs money for, and which bots use it."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from shared.bots.registry import BotRegistry
from shared.endpoints.record import EndpointRecord
from shared.endpoints.records import EndpointRecords
from shared.errors import BadRequestError, Violation
from shared.paging import LIMIT_RULE, TOKEN_RULE, make_token, read_limit, read_token

# The form of a name as it can stand in a record; what an endpoint may be called is checked at registration.
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,63}")


@dataclass(frozen=True, slots=True)
class EndpointQuery:
    """Endpoints by name, at most `limit`, after the name `after`; `unused`: those alone that no bot names."""

    limit: int
    unused: bool
    after: str

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Self:
        """Read query parameters; raise BadRequestError with all that is wrong with them."""
        unused = parameters.get("unused", "false")
        limit = read_limit(parameters)
        after = read_token(
            parameters.get("next_token", ""), {"unused": unused}, lambda name: bool(_NAME.fullmatch(name))
        )
        wrong = [Violation("/unused", "must be true or false")] * (unused not in ("true", "false"))
        if limit is None or after is None or wrong:
            wrong += [LIMIT_RULE] * (limit is None) + [TOKEN_RULE] * (after is None)
            raise BadRequestError("the list cannot be read with these parameters", wrong)
        return cls(limit, unused == "true", after)

    def next_token(self, last_name: str) -> str:
        """Make the token of the page that follows the endpoint `last_name`."""
        return make_token(last_name, {"unused": str(self.unused).lower()})


def read_endpoints(query: EndpointQuery, *, bots: BotRegistry, endpoints: EndpointRecords) -> dict[str, Any]:
    """Read a page: `{"endpoints": […], "next_token": … or null where the list ends}`.

    With `unused`, a page looks through as many records as it needs to fill itself.
    """
    shown: list[dict[str, Any]] = []
    after, more = query.after, True
    while more and len(shown) < query.limit:
        found = endpoints.page(after, query.limit + 1)
        records, more = found[: query.limit], len(found) > query.limit
        users = bots.users_of([record.key for record in records]) if records else {}
        for position, record in enumerate(records):
            names = users.get(record.key, [])
            if not (query.unused and names):
                shown.append(_shown(record, names))
            after = record.name
            if len(shown) == query.limit:
                more = more or position + 1 < len(records)
                break
    return {"endpoints": shown, "next_token": query.next_token(after) if more else None}


def _shown(record: EndpointRecord, bots: list[str]) -> dict[str, Any]:
    wanted = record.wanted
    return {
        "name": record.name,
        "status": record.status.value,
        "managed": record.managed,
        "bots": bots,
        "since": record.since,
        "image": wanted.image if wanted else "",
        "model_data": wanted.model_data if wanted else "",
        "instance_type": wanted.instance_type if wanted else "",
        "failure": asdict(record.failure) if record.failure else None,
        "next_attempt_at": record.next_attempt_at,
        "observed_at": record.observed_at,
    }
