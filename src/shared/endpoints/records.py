"""Where endpoint records are kept: one OpenSearch document an endpoint, its id the lower-cased name."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

from shared.clock import rfc3339
from shared.endpoints.plan import is_settled
from shared.endpoints.record import MAX_ATTEMPTS, NO_IMAGE, EndpointRecord
from shared.errors import ConcurrentChangeError
from shared.opensearch import Index, VersionConflictError

_KEYWORD: Final = {"type": "keyword"}
_KEPT: Final = {"type": "keyword", "index": False, "doc_values": False}
_PROPERTIES: Final[Mapping[str, Any]] = {
    "name": _KEYWORD,
    "wanted": {"properties": {"image": _KEPT, "model_data": _KEPT, "instance_type": _KEPT}},
    "present": {"type": "boolean"},
    "needed": {"type": "boolean"},
    "managed": {"type": "boolean"},
    "status": _KEYWORD,
    "config_name": _KEPT,
    "since": {"type": "date"},
    "modified_at": _KEPT,
    "artefacts": _KEPT,
    "roll_to": _KEPT,
    "rolled_from": _KEPT,
    "failure": {"properties": {"code": _KEYWORD, "message": _KEPT}},
    "attempts": {"type": "integer"},
    "next_attempt_at": {"type": "date"},
    "observed_at": {"type": "date"},
    "leased_until": _KEPT,
    "leased_by": _KEPT,
    "nudged": {"type": "boolean"},
    "leaving": _KEYWORD,
    "requested_by": _KEPT,
    "awaited_since": _KEPT,
    # What the schedule looks for: plan.is_settled as of the last write.
    "settled": {"type": "boolean"},
}
_MAX_ATTEMPTS: Final = 10


class EndpointForgottenError(Exception):
    """Raised when a record is to be changed that has been removed."""


class EndpointRecords:
    """The door to the endpoints' index."""

    def __init__(self) -> None:
        # refresh: GET /endpoints right after a registration must show the endpoint.
        self._index = Index("endpoints", _PROPERTIES, refresh=True)

    def get_many(self, names: Iterable[str]) -> dict[str, EndpointRecord]:
        """Read the records of these endpoints in one round trip, by lower-cased name; the missing are left out."""
        found = self._index.get_many([name.lower() for name in names])
        return {key: EndpointRecord.from_source(document.source) for key, document in found.items()}

    def upsert(
        self, name: str, change: Callable[[EndpointRecord], EndpointRecord], *, likely_new: bool = False
    ) -> EndpointRecord:
        """Apply a change to the record as it is now, or to a new one, and keep the result.

        `change` runs again when somebody else wrote in between. Nothing is written where it changes nothing.
        `likely_new`: nobody had it a moment ago, so that the first attempt is to create it, without another look.
        """
        return self._change(name, change, EndpointRecord(name), look_first=not likely_new)

    def update(self, name: str, change: Callable[[EndpointRecord], EndpointRecord]) -> EndpointRecord:
        """Apply a change like `upsert`, to a record that is there; raise EndpointForgottenError."""
        return self._change(name, change, None)

    def _change(
        self,
        name: str,
        change: Callable[[EndpointRecord], EndpointRecord],
        new: EndpointRecord | None,
        *,
        look_first: bool = True,
    ) -> EndpointRecord:
        key = name.lower()
        document = self._index.get(key) if look_first else None
        for _ in range(_MAX_ATTEMPTS):
            record = EndpointRecord.from_source(document.source) if document else new
            if record is None:
                raise EndpointForgottenError(name)
            changed = change(record)
            if changed == record and document:
                return record
            try:
                if document:
                    self._index.replace(key, _source(changed), document.version)
                else:
                    self._index.create(key, _source(changed))
            except VersionConflictError as conflict:
                document = conflict.existing
            else:
                return changed
        raise ConcurrentChangeError(f"the record of endpoint {name!r}")

    def find(self, name: str) -> EndpointRecord | None:
        """Read one record, or None where there is none."""
        document = self._index.get(name.lower())
        return EndpointRecord.from_source(document.source) if document else None

    def restless(self, looked_at_before: datetime, size: int) -> list[EndpointRecord]:
        """Find records that have not settled, or that nobody has looked at since; the longest unseen first."""
        settled = {"term": {"settled": {"value": False}}}
        unseen = {"range": {"observed_at": {"lt": rfc3339(looked_at_before)}}}
        body = {
            "size": size,
            "query": {"bool": {"should": [settled, unseen]}},
            "sort": [{"observed_at": {"order": "asc", "missing": "_first"}}],
        }
        return [EndpointRecord.from_source(hit.source) for hit in self._index.search(body)]

    def leaving(self, size: int) -> list[EndpointRecord]:
        """Find records of endpoints whose removal was begun together with a bot's."""
        clauses = {"filter": {"exists": {"field": "leaving"}}, "must_not": {"term": {"leaving": {"value": ""}}}}
        hits = self._index.search({"size": size, "query": {"bool": clauses}})
        return [EndpointRecord.from_source(hit.source) for hit in hits]

    def count_unsettled(self) -> int:
        """Count the endpoints with something left to do or to wait for."""
        return self._index.count({"term": {"settled": {"value": False}}})

    def count_failed(self) -> int:
        """Count the endpoints whose last attempt came to nothing; one that its author has yet to run is none."""
        not_ours = {"term": {"failure.code": {"value": NO_IMAGE.code}}}
        return self._index.count({"bool": {"filter": {"exists": {"field": "failure.code"}}, "must_not": not_ours}})

    def count_given_up(self) -> int:
        """Count the endpoints for which nothing is tried any more."""
        return self._index.count({"range": {"attempts": {"gte": MAX_ATTEMPTS}}})

    def page(self, after: str, size: int) -> list[EndpointRecord]:
        """Read `size` records by name, after the name `after` ("": from the first)."""
        body: dict[str, Any] = {"size": size, "sort": [{"name": "asc"}], "query": {"match_all": {}}}
        if after:
            body["search_after"] = [after]
        return [EndpointRecord.from_source(hit.source) for hit in self._index.search(body)]

    def remove(self, name: str, unless: Callable[[EndpointRecord], bool]) -> None:
        """Forget an endpoint, unless its record as it is now says otherwise."""
        document = self._index.get(name.lower())
        while document and not unless(EndpointRecord.from_source(document.source)):
            try:
                self._index.delete(document.id, document.version)
            except VersionConflictError as conflict:
                document = conflict.existing
            else:
                return


@cache
def endpoints() -> EndpointRecords:
    """Give the door, made on first use."""
    return EndpointRecords()


def _source(record: EndpointRecord) -> dict[str, Any]:
    return {**record.to_source(), "settled": is_settled(record)}
