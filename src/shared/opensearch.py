"""Documents in OpenSearch: signed requests, optimistic concurrency, and writes whose answer may get lost.

The doors of the subjects (bots, endpoints, jobs) stand on `Index`; opensearch-py's types and errors stop here.
"""

import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, Literal

from opensearchpy import OpenSearch, Urllib3HttpConnection
from opensearchpy.exceptions import (
    ConflictError,
    ConnectionTimeout,
    NotFoundError,
    OpenSearchException,
    RequestError,
    TransportError,
)
from opensearchpy.exceptions import (
    ConnectionError as UnreachableError,
)
from opensearchpy.helpers import streaming_bulk
from requests_aws4auth import AWS4Auth

from shared import metrics, settings
from shared.errors import ByobError, OperatorError, RegistryUnavailableError

# The type of an error in OpenSearch's answers, such as version_conflict_engine_exception.
_TYPE: Final = re.compile(r"[a-z_]{1,100}")
# A repository lies in S3, and has hundreds of snapshots.
_SNAPSHOT_SECONDS: Final = 20


@dataclass(frozen=True, slots=True)
class Version:
    """OpenSearch's own version of a document, as optimistic concurrency control needs it."""

    seq_no: int
    primary_term: int


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document as it was at `version`."""

    id: str
    source: Mapping[str, Any]
    version: Version


class VersionConflictError(Exception):
    """Raised when a conditional write found another version; `existing` is None where the document is gone."""

    def __init__(self, existing: Document | None) -> None:
        super().__init__("the document is not at the expected version")
        self.existing = existing


class Index:
    """One index, reached through an alias of its name so that it can be rebuilt behind it.

    It is created, or given the fields that are new, by the first write that needs it. `refresh` makes a search right
    after a write see it. `dynamic`: "strict" refuses fields that are not in `properties`, "false" keeps them unindexed.
    """

    def __init__(
        self,
        name: str,
        properties: Mapping[str, Any],
        *,
        refresh: bool = False,
        dynamic: Literal["strict", "false"] = "strict",
    ) -> None:
        self.alias = f"{settings.opensearch().index_prefix}-{name}"
        self._dynamic = dynamic
        self._properties = {**properties, "write_id": {"type": "keyword", "index": False, "doc_values": False}}
        self._refresh = "true" if refresh else "false"

    def get(self, id: str) -> Document | None:
        """Read one document as last written (no refresh needed)."""
        try:
            return _document(_answer(lambda: client().get(index=self.alias, id=id)))
        except NotFoundError:
            return None

    def get_many(self, ids: Sequence[str]) -> dict[str, Document]:
        """Read several documents in one round trip; the missing ones are left out."""
        if not ids:
            return {}
        answer = _answer(lambda: client().mget(index=self.alias, body={"ids": list(ids)}))
        return {found["_id"]: _document(found) for found in answer["docs"] if found.get("found")}

    def search(self, body: Mapping[str, Any]) -> list[Document]:
        """Run a search; an index that is not there yet has no hits."""
        query = {"seq_no_primary_term": True, "track_total_hits": False, **body}
        try:
            answer = _answer(lambda: client().search(index=self.alias, body=query))
        except NotFoundError:
            return []
        return [_document(hit) for hit in answer["hits"]["hits"]]

    def count(self, query: Mapping[str, Any]) -> int:
        """Count the documents that a query finds; none in an index that is not there yet."""
        try:
            return int(_answer(lambda: client().count(index=self.alias, body={"query": query}))["count"])
        except NotFoundError:
            return 0

    def aggregate(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run a search for its aggregations alone; an index that is not there yet has none."""
        query = {"size": 0, "track_total_hits": False, **body}
        try:
            answer = _answer(lambda: client().search(index=self.alias, body=query))
        except NotFoundError:
            return {}
        found: Mapping[str, Any] = answer["aggregations"]
        return found

    def refresh(self) -> None:
        """Make searches see everything that has been written until now, whoever wrote it."""
        try:
            _answer(lambda: client().indices.refresh(index=self.alias))
        except NotFoundError:
            return

    def create_many(self, documents: Mapping[str, Mapping[str, Any]], *, at_once: int) -> None:
        """Write new documents by id, `at_once` in one request; one that exists is left as it is."""
        actions = [({"create": {"_id": id}}, source) for id, source in documents.items()]
        failed = self._bulk(actions, at_once)
        if "index_not_found_exception" in failed:
            self._create_index()
            failed = self._bulk(actions, at_once)
        if failed:
            raise RegistryUnavailableError(f"OpenSearch refused documents: {', '.join(sorted(failed))}")

    def update_many(self, changes: Iterable[tuple[Document, Mapping[str, Any]]]) -> None:
        """Merge fields into documents; one that has changed since it was read is left as it is."""
        actions = [
            ({"update": {"_id": document.id, **_condition(document.version)}}, {"doc": fields})
            for document, fields in changes
        ]
        failed = self._bulk(actions, max(1, len(actions))) - {"document_missing_exception"}
        if failed:
            raise RegistryUnavailableError(f"OpenSearch refused documents: {', '.join(sorted(failed))}")

    def _bulk(self, actions: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], at_once: int) -> set[str]:
        """Carry out actions; give the kinds of failures other than that a document is there or has changed."""

        def send() -> set[str]:
            outcomes = streaming_bulk(
                client(),
                actions,
                chunk_size=at_once,
                expand_action_callback=lambda action: action,
                max_retries=3,  # of documents that a busy node turns away with 429
                initial_backoff=1,
                raise_on_error=False,
                yield_ok=False,
                index=self.alias,
                require_alias="true",
                refresh=self._refresh,
            )
            failures = [next(iter(info.values())) for _, info in outcomes]
            return {failure["error"]["type"] for failure in failures if failure["status"] != 409}

        found: set[str] = _answer(send)
        return found

    def create(self, id: str, source: Mapping[str, Any]) -> Document:
        """Write a new document; raise VersionConflictError where one of that id exists."""
        return self._write(id, source, {"op_type": "create"})

    def replace(self, id: str, source: Mapping[str, Any], version: Version) -> Document:
        """Write over the document at `version`; raise VersionConflictError where it has another."""
        return self._write(id, source, _condition(version))

    def delete(self, id: str, version: Version) -> None:
        """Remove the document at `version`; raise VersionConflictError where it has another.

        A document that is gone is what was asked for, whoever removed it: a repeated request whose first answer was
        lost meets a conflict with its own work.
        """
        try:
            _answer(lambda: client().delete(index=self.alias, id=id, refresh=self._refresh, **_condition(version)))
        except NotFoundError:
            return
        except ConflictError as error:
            existing = self.get(id)
            if existing:
                raise VersionConflictError(existing) from error
        except _AnswerLostError:
            if self.get(id):
                raise

    def _write(self, id: str, source: Mapping[str, Any], condition: Mapping[str, Any]) -> Document:
        # The mark tells our own write from an equal one of somebody else, when its answer was lost on the way.
        marked = {**source, "write_id": uuid.uuid4().hex}
        params = {"require_alias": "true", "refresh": self._refresh, **condition}

        def write() -> Any:
            return client().index(index=self.alias, id=id, body=marked, params=dict(params))

        try:
            answer = self._answer_of_write(write)
        except ConflictError as error:
            existing = self.get(id)
            if existing is None or existing.source.get("write_id") != marked["write_id"]:
                raise VersionConflictError(existing) from error
            return existing
        except _AnswerLostError as error:
            existing = self.get(id)
            if existing is None:
                raise
            if existing.source.get("write_id") != marked["write_id"]:
                if "op_type" in condition:  # who has the name by now has refused it, whatever became of the answer
                    raise VersionConflictError(existing) from error
                raise
            return existing
        return Document(id, marked, Version(answer["_seq_no"], answer["_primary_term"]))

    def _answer_of_write(self, write: Callable[[], Any]) -> Any:
        try:
            return _answer(write)
        except NotFoundError:
            # require_alias turns a missing index into this answer; without it OpenSearch would make one up.
            self._create_index()
        except _RefusedError as error:
            if error.type != "strict_dynamic_mapping_exception":
                raise
            # An index that an earlier version made lacks the fields that have come since.
            _answer(lambda: client().indices.put_mapping(index=self.alias, body={"properties": self._properties}))
        return _answer(write)

    def _create_index(self) -> None:
        name = f"{self.alias}-1"
        body = {
            "mappings": {"dynamic": self._dynamic, "properties": self._properties},
            "settings": {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-1"}},
        }
        try:
            _answer(lambda: client().indices.create(index=name, body=body))
        except _RefusedError as error:
            if error.type != "resource_already_exists_exception":  # somebody else's first write was quicker
                raise RegistryUnavailableError(f"OpenSearch refused the index: {error.type}") from error
        # Not before it can be searched: until then a search of the alias finds no index, which is no failure.
        _answer(lambda: client().indices.put_alias(index=name, name=self.alias))


@cache
def client() -> OpenSearch:
    """Make the one client of this process, on first use."""
    config = settings.opensearch()
    return OpenSearch(
        hosts=[config.url],
        connection_class=Urllib3HttpConnection,
        http_auth=_signer(config.region),
        http_compress=False,
        timeout=config.timeout_seconds,
        # One more try on a broken connection: after a freeze, Lambda wakes up with dead connections in the pool.
        # A write repeated this way is told from somebody else's by its write_id.
        max_retries=1,
        retry_on_timeout=False,
        retry_on_status=(),
        pool_maxsize=4,
    )


def version() -> str:
    """Tell OpenSearch's version; raise RegistryUnavailableError unless it answers and takes our signature."""
    return str(_answer(lambda: client().info())["version"]["number"])


def put(path: str, body: Mapping[str, Any]) -> bool:
    """Write to an API of a plugin; False where OpenSearch has no such plugin."""

    def send() -> bool:
        try:
            client().transport.perform_request("PUT", path, body=body)
        except RequestError as error:
            if "no handler found" in str(error.error):
                return False
            raise
        return True

    return bool(_answer(send))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot of the domain; it can be relied on where `state` is SUCCESS."""

    name: str
    state: str
    indices: Sequence[str]


@dataclass(frozen=True, slots=True)
class HeldIndex:
    """An index as it is now: the aliases that lead to it, and how much of it is there (0 to 100)."""

    name: str
    aliases: Sequence[str]
    percent: float


def snapshots(repository: str, name: str = "_all") -> list[Snapshot]:
    """List all snapshots, or give the one of that name; raise OperatorError where it or the repository is not there."""
    options = {"verbose": "false", "request_timeout": _SNAPSHOT_SECONDS}
    try:
        found = _answer(lambda: client().snapshot.get(repository=repository, snapshot=name, params=dict(options)))
    except NotFoundError as error:
        raise OperatorError(f"the repository {repository} or its snapshot {name} is not there") from error
    return [Snapshot(each["snapshot"], each["state"], each["indices"]) for each in found["snapshots"]]


def begin_restore(repository: str, snapshot: str, indices: Sequence[str], *, rename: tuple[str, str]) -> None:
    """Have indices restored under other names, without their aliases; `rename` is a pattern and what takes its place.

    OpenSearch goes on by itself; `held_indices` tells how far it is.
    """
    body = {
        "indices": ",".join(indices),
        "include_global_state": False,
        "include_aliases": False,
        "rename_pattern": rename[0],
        "rename_replacement": rename[1],
    }
    params = {"request_timeout": _SNAPSHOT_SECONDS}
    _answer(lambda: client().snapshot.restore(repository=repository, snapshot=snapshot, body=body, params=params))


def held_indices(pattern: str) -> list[HeldIndex]:
    """List the indices whose names match a pattern."""
    aliases = _answer(lambda: client().indices.get_alias(index=pattern))
    recoveries = _answer(lambda: client().indices.recovery(index=pattern))
    return [
        HeldIndex(name, sorted(found["aliases"]), _percent(recoveries.get(name, {}).get("shards", [])))
        for name, found in sorted(aliases.items())
    ]


def _percent(shards: Sequence[Mapping[str, Any]]) -> float:
    """Give how much of an index's least primary shard is there; of one that nobody holds nothing is told."""
    primaries = [shard for shard in shards if shard["primary"]]
    done = (100.0 if each["stage"] == "DONE" else _number(each["index"]["size"]["percent"]) for each in primaries)
    return min(done, default=0.0)


def _number(percent: str) -> float:
    # What is not DONE has something left to do, whatever its files say.
    return min(float(percent.rstrip("%")), 99.9)


def move_aliases(moves: Sequence[tuple[Literal["add", "remove"], str, str]]) -> None:
    """Add aliases to indices, and remove them, all at once or not at all: (what, index, alias)."""
    actions = [{what: {"index": index, "alias": alias}} for what, index, alias in moves]
    _answer(lambda: client().indices.update_aliases(body={"actions": actions}))


class _AnswerLostError(RegistryUnavailableError):
    """Raised inside this module when a request may have been carried out although no answer came."""


class _RefusedError(ByobError):
    """Raised inside this module when OpenSearch refuses a body; `type` is its word for the reason."""

    def __init__(self, type: str) -> None:
        super().__init__(f"OpenSearch refused the request: {type}")
        self.type = type


def _answer(request: Callable[[], Any]) -> Any:
    """Send a request; conflicts, missing things and refused bodies pass, everything else is unavailability.

    OpenSearch and its client quote documents in what they say of an error, so only their own words for the kind of
    error go on: a log must not show what an author wrote into a command line.
    """
    begun = time.perf_counter()
    try:
        return request()
    except (ConflictError, NotFoundError):
        raise
    except RequestError as error:
        raise _RefusedError(_type_of(error)) from None
    except OpenSearchException as error:
        metrics.record(metrics.OPENSEARCH_UNAVAILABLE)
        # Of a connection that fails no document is known; what the system said of it is worth having.
        raise _unavailable(error) from (error if isinstance(error, UnreachableError) else None)
    finally:
        metrics.record(metrics.OPENSEARCH_LATENCY, round((time.perf_counter() - begun) * 1000, 3))


def _unavailable(error: OpenSearchException) -> RegistryUnavailableError:
    if isinstance(error, ConnectionTimeout):
        return RegistryUnavailableError("OpenSearch did not answer in time")
    if isinstance(error, UnreachableError):
        return _AnswerLostError("OpenSearch cannot be reached")
    if isinstance(error, TransportError):
        return RegistryUnavailableError(f"OpenSearch answered {error.status_code}, {_type_of(error)}")
    return RegistryUnavailableError("OpenSearch gave an answer that cannot be read")


def _type_of(error: TransportError) -> str:
    # opensearch-py gives the whole body where it finds no type in it.
    return error.error if isinstance(error.error, str) and _TYPE.fullmatch(error.error) else "with no type"


def _signer(region: str) -> Callable[[str, str, bytes | None], Mapping[str, str]]:
    auth = _auth(region)
    host = auth.get_host_header(settings.opensearch().url)

    def sign(method: str, url: str, body: bytes | None) -> Mapping[str, str]:
        headers = {"host": host}
        auth(SimpleNamespace(method=method, url=url, body=body, headers=headers))
        return headers

    return sign


class _Auth(AWS4Auth):  # type: ignore[misc]  # it publishes no types
    """Signs requests whose headers are all its own but the host, in lower case: there are none to sift or to fold."""

    @classmethod
    def get_canonical_headers(cls, req: Any, include: object = None) -> tuple[str, str]:  # noqa: ARG003 - all are
        """Give what is signed of the headers, and their names (AWS4Auth)."""
        names = sorted(req.headers)
        return "".join(f"{name}:{req.headers[name]}\n" for name in names), ";".join(names)


def _auth(region: str) -> _Auth:
    keys = settings.static_credentials()
    if keys:
        return _Auth(keys.access_key, keys.secret_key, region, "es", session_token=keys.token)
    # SnapStart and containers hand out keys over HTTP and renew them; only then is botocore worth its import.
    from botocore.session import Session  # noqa: PLC0415 - read paths load no botocore where keys are at hand

    return _Auth(refreshable_credentials=Session().get_credentials(), region=region, service="es")


def _condition(version: Version) -> dict[str, int]:
    return {"if_seq_no": version.seq_no, "if_primary_term": version.primary_term}


def _document(found: Mapping[str, Any]) -> Document:
    return Document(found["_id"], found["_source"], Version(found["_seq_no"], found["_primary_term"]))
