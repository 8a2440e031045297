"""Documents in OpenSearch: signed requests, optimistic concurrency, and writes whose answer may get lost.

The doors of the subjects (bots, endpoints) stand on `Index`; opensearch-py's types and errors stop here.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

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
from requests.structures import CaseInsensitiveDict
from requests_aws4auth import AWS4Auth

from shared import settings
from shared.errors import RegistryUnavailableError


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
    after a write see it.
    """

    def __init__(self, name: str, properties: Mapping[str, Any], *, refresh: bool = False) -> None:
        self._alias = f"{settings.opensearch().index_prefix}-{name}"
        self._properties = {**properties, "write_id": {"type": "keyword", "index": False, "doc_values": False}}
        self._refresh = "true" if refresh else "false"

    def get(self, id: str) -> Document | None:
        """Read one document as last written (no refresh needed)."""
        try:
            return _document(_answer(lambda: client().get(index=self._alias, id=id)))
        except NotFoundError:
            return None

    def get_many(self, ids: Sequence[str]) -> dict[str, Document]:
        """Read several documents in one round trip; the missing ones are left out."""
        if not ids:
            return {}
        answer = _answer(lambda: client().mget(index=self._alias, body={"ids": list(ids)}))
        return {found["_id"]: _document(found) for found in answer["docs"] if found.get("found")}

    def search(self, body: Mapping[str, Any]) -> list[Document]:
        """Run a search; an index that is not there yet has no hits."""
        query = {"seq_no_primary_term": True, "track_total_hits": False, **body}
        try:
            answer = _answer(lambda: client().search(index=self._alias, body=query))
        except NotFoundError:
            return []
        return [_document(hit) for hit in answer["hits"]["hits"]]

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
            _answer(lambda: client().delete(index=self._alias, id=id, refresh=self._refresh, **_condition(version)))
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
            return client().index(index=self._alias, id=id, body=marked, params=dict(params))

        try:
            answer = self._answer_of_write(write)
        except ConflictError as error:
            existing = self.get(id)
            if existing is None or existing.source.get("write_id") != marked["write_id"]:
                raise VersionConflictError(existing) from error
            return existing
        except _AnswerLostError as error:
            existing = self.get(id)
            if existing is None or existing.source.get("write_id") != marked["write_id"]:
                raise RegistryUnavailableError(str(error)) from error
            return existing
        return Document(id, marked, Version(answer["_seq_no"], answer["_primary_term"]))

    def _answer_of_write(self, write: Callable[[], Any]) -> Any:
        try:
            return _answer(write)
        except NotFoundError:
            # require_alias turns a missing index into this answer; without it OpenSearch would make one up.
            self._create_index()
        except RequestError as error:
            if error.error != "strict_dynamic_mapping_exception":
                raise
            # An index that an earlier version made lacks the fields that have come since.
            _answer(lambda: client().indices.put_mapping(index=self._alias, body={"properties": self._properties}))
        return _answer(write)

    def _create_index(self) -> None:
        body = {
            "aliases": {self._alias: {}},
            "mappings": {"dynamic": "strict", "properties": self._properties},
            "settings": {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-1"}},
        }
        try:
            _answer(lambda: client().indices.create(index=f"{self._alias}-1", body=body))
        except RequestError as error:
            if error.error != "resource_already_exists_exception":  # somebody else's first write was quicker
                raise RegistryUnavailableError(f"OpenSearch refused the index: {error.error}") from error


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


def reachable() -> None:
    """Raise RegistryUnavailableError unless OpenSearch answers and takes our signature."""
    _answer(lambda: client().info())


class _AnswerLostError(RegistryUnavailableError):
    """Raised inside this module when a request may have been carried out although no answer came."""


def _answer(request: Callable[[], Any]) -> Any:
    """Send a request; conflicts, missing things and refused bodies pass, everything else is unavailability."""
    try:
        return request()
    except (ConflictError, NotFoundError, RequestError):
        raise
    except ConnectionTimeout as error:
        raise RegistryUnavailableError("OpenSearch did not answer in time") from error
    except UnreachableError as error:
        raise _AnswerLostError("OpenSearch cannot be reached") from error
    except TransportError as error:
        raise RegistryUnavailableError(f"OpenSearch answered {error.status_code}") from error
    except OpenSearchException as error:
        raise RegistryUnavailableError("OpenSearch gave an answer that cannot be read") from error


def _signer(region: str) -> Callable[[str, str, bytes | None], Mapping[str, str]]:
    auth = _auth(region)

    def sign(method: str, url: str, body: bytes | None) -> Mapping[str, str]:
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        auth(SimpleNamespace(method=method, url=url, body=body, headers=headers))
        return headers

    return sign


def _auth(region: str) -> AWS4Auth:
    keys = settings.static_credentials()
    if keys:
        return AWS4Auth(keys.access_key, keys.secret_key, region, "es", session_token=keys.token)
    # SnapStart and containers hand out keys over HTTP and renew them; only then is botocore worth its import.
    from botocore.session import Session  # noqa: PLC0415 - read paths load no botocore where keys are at hand

    return AWS4Auth(refreshable_credentials=Session().get_credentials(), region=region, service="es")


def _condition(version: Version) -> dict[str, int]:
    return {"if_seq_no": version.seq_no, "if_primary_term": version.primary_term}


def _document(found: Mapping[str, Any]) -> Document:
    return Document(found["_id"], found["_source"], Version(found["_seq_no"], found["_primary_term"]))
