"""Where endpoint records are kept: one OpenSearch document an endpoint, its id the lower-cased name."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final

from shared.endpoints.record import EndpointRecord
from shared.errors import ConcurrentChangeError
from shared.opensearch import Index, VersionConflictError

_KEYWORD: Final = {"type": "keyword"}
_KEPT: Final = {"type": "keyword", "index": False, "doc_values": False}
_PROPERTIES: Final[Mapping[str, Any]] = {
    "name": _KEYWORD,
    "wanted": {"properties": {"image": _KEPT, "model_data": _KEPT, "instance_type": _KEPT}},
    "present": {"type": "boolean"},
    "managed": {"type": "boolean"},
    "status": _KEYWORD,
    "config_name": _KEPT,
    "failure": {"properties": {"code": _KEYWORD, "message": _KEPT}},
    "attempts": {"type": "integer"},
    "next_attempt_at": {"type": "date"},
    "observed_at": {"type": "date"},
}
_MAX_ATTEMPTS: Final = 10


class EndpointRecords:
    """The door to the endpoints' index."""

    def __init__(self) -> None:
        self._index = Index("endpoints", _PROPERTIES)

    def get_many(self, names: Iterable[str]) -> dict[str, EndpointRecord]:
        """Read the records of these endpoints in one round trip, by lower-cased name; the missing are left out."""
        found = self._index.get_many([name.lower() for name in names])
        return {key: EndpointRecord.from_source(document.source) for key, document in found.items()}

    def update(self, name: str, change: Callable[[EndpointRecord], EndpointRecord]) -> EndpointRecord:
        """Apply a change to the record as it is now, or to a new one, and keep the result.

        `change` runs again when somebody else wrote in between. Nothing is written where it changes nothing.
        """
        key = name.lower()
        document = self._index.get(key)
        for _ in range(_MAX_ATTEMPTS):
            record = EndpointRecord.from_source(document.source) if document else EndpointRecord(name)
            changed = change(record)
            if changed == record and document:
                return record
            try:
                if document:
                    self._index.replace(key, changed.to_source(), document.version)
                else:
                    self._index.create(key, changed.to_source())
            except VersionConflictError as conflict:
                document = conflict.existing
            else:
                return changed
        raise ConcurrentChangeError(f"the record of endpoint {name!r}")

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
