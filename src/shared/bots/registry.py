"""Where bots are kept: one OpenSearch document a bot, its id the bot's name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from shared.bots.fields import Fields, endpoint_names, file_types
from shared.bots.page import BotQuery
from shared.clock import flat
from shared.errors import BotAlreadyExistsError, BotNotFoundError
from shared.opensearch import Document, Index, Version, VersionConflictError

# Kept and given back, never searched.
_KEPT: Final = {"type": "keyword", "index": False, "doc_values": False}
_PROPERTIES: Final[Mapping[str, Any]] = {
    "name": {"type": "keyword"},
    "es_url": _KEPT,
    "file_types": _KEPT,
    "bot_image": _KEPT,
    "bot_image_cmd": _KEPT,
    "endpoint_name": _KEPT,
    "endpoint_ecr_image_path": _KEPT,
    "instance_type": _KEPT,
    "model_s3_path": _KEPT,
    "bot_vcpu": _KEPT,
    "bot_mem": _KEPT,
    "create_date": _KEPT,
    "update_date": {"type": "keyword"},  # sorts as text
    # What the filters of a list look at, in lower case.
    "search": {"properties": {"endpoint_names": {"type": "keyword"}, "file_types": {"type": "keyword"}}},
}
_NOT_SHOWN: Final = ("search", "write_id")


@dataclass(frozen=True, slots=True)
class StoredBot:
    """A bot's flat fields as they were at `version`."""

    fields: Fields
    version: Version

    @property
    def name(self) -> str:
        """The bot's name."""
        return str(self.fields["name"])

    @property
    def version_tag(self) -> str:
        """The version as the first part of the bot's ETag."""
        return f"{self.version.seq_no}-{self.version.primary_term}"


class BotChangedError(Exception):
    """Raised when a bot is no longer at the version that a change was made for; `now` is None where it is gone."""

    def __init__(self, now: StoredBot | None) -> None:
        super().__init__("the bot has changed")
        self.now = now


class TakenError(BotAlreadyExistsError):
    """Raised when a new bot's name is taken; `by` is who has it, None where they have just gone."""

    def __init__(self, name: str, by: StoredBot | None) -> None:
        super().__init__(name)
        self.by = by


class BotRegistry:
    """The door to the bots' index."""

    def __init__(self) -> None:
        # refresh: a list right after a 201 must show the bot.
        self._index = Index("bots", _PROPERTIES, refresh=True)

    def get(self, name: str) -> StoredBot:
        """Read a bot; raise BotNotFoundError."""
        found = self.find(name)
        if found is None:
            raise BotNotFoundError(name)
        return found

    def find(self, name: str) -> StoredBot | None:
        """Read a bot, or None where there is none of that name."""
        document = self._index.get(name)
        return _stored(document) if document else None

    def create(self, fields: Fields) -> StoredBot:
        """Keep a new bot; raise TakenError where its name is taken."""
        try:
            return _stored(self._index.create(fields["name"], _source(fields)))
        except VersionConflictError as conflict:
            raise TakenError(fields["name"], _stored_or_none(conflict.existing)) from conflict

    def replace(self, fields: Fields, version: Version) -> StoredBot:
        """Write over the bot at `version`; raise BotChangedError where it has another."""
        try:
            return _stored(self._index.replace(fields["name"], _source(fields), version))
        except VersionConflictError as conflict:
            raise BotChangedError(_stored_or_none(conflict.existing)) from conflict

    def delete(self, bot: StoredBot) -> None:
        """Remove the bot at its version; raise BotChangedError where it has another."""
        try:
            self._index.delete(bot.name, bot.version)
        except VersionConflictError as conflict:
            raise BotChangedError(_stored_or_none(conflict.existing)) from conflict

    def page(self, query: BotQuery, size: int) -> list[StoredBot]:
        """Read `size` bots by name; a page costs the same wherever it begins (search_after)."""
        filters: list[Mapping[str, Any]] = []
        if query.name_prefix:
            filters.append({"prefix": {"name": {"value": query.name_prefix}}})
        if query.endpoint_name:
            filters.append({"term": {"search.endpoint_names": {"value": query.endpoint_name.lower()}}})
        if query.file_type:
            filters.append({"term": {"search.file_types": {"value": query.file_type.lower()}}})
        body: dict[str, Any] = {
            "size": size,
            "sort": [{"name": "asc"}],
            "query": {"bool": {"filter": filters}},
            "_source": {"excludes": list(_NOT_SHOWN)},
        }
        if query.after:
            body["search_after"] = [query.after]
        return [_stored(hit) for hit in self._index.search(body)]

    def changed_since(self, time: datetime) -> list[StoredBot]:
        """Find the bots that were created or replaced since, at most 1,000, the latest first."""
        body = {
            "size": 1000,
            "query": {"range": {"update_date": {"gte": flat(time)}}},
            "sort": [{"update_date": "desc"}, {"name": "asc"}],
        }
        return [_stored(hit) for hit in self._index.search(body)]

    def users_of(self, endpoints: Sequence[str]) -> dict[str, list[str]]:
        """Find who names these endpoints (in lower case): the bots' names by endpoint, without those of no bot."""
        users: dict[str, list[str]] = {}
        body: dict[str, Any] = {
            "size": 1000,
            "query": {"terms": {"search.endpoint_names": list(endpoints)}},
            "sort": [{"name": "asc"}],
            "_source": ["name", "endpoint_name"],
        }
        while found := self._index.search(body):
            for hit in found:
                for endpoint in endpoint_names(hit.source):
                    users.setdefault(endpoint.lower(), []).append(hit.source["name"])
            body["search_after"] = [found[-1].source["name"]]
        return users


@cache
def bots() -> BotRegistry:
    """Give the door, made on first use."""
    return BotRegistry()


def _source(fields: Fields) -> dict[str, Any]:
    return {
        **fields,
        "search": {
            "endpoint_names": [name.lower() for name in endpoint_names(fields)],
            "file_types": [file_type.lower() for file_type in file_types(fields)],
        },
    }


def _stored(document: Document) -> StoredBot:
    return StoredBot({key: value for key, value in document.source.items() if key not in _NOT_SHOWN}, document.version)


def _stored_or_none(document: Document | None) -> StoredBot | None:
    return _stored(document) if document else None
