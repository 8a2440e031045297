"""The work list: one OpenSearch document for each file of the job, of which this worker owns a slice.

Every change names the version that it is a change of, so that of two workers at most one has a file at a time.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, TypeVar

from botocore.session import Session
from opensearchpy import OpenSearch, Urllib3HttpConnection
from opensearchpy.exceptions import ConflictError, NotFoundError, SerializationError, TransportError
from opensearchpy.exceptions import ConnectionError as UnreachableError
from requests.structures import CaseInsensitiveDict
from requests_aws4auth import AWS4Auth

from plumbing.contract import Environment, patience_seconds, worker_name
from plumbing.errors import PermanentError, TransientError
from plumbing.patience import pauses

NOT_STARTED = "NOT_STARTED"
PROCESSING = "PROCESSING"
COMPLETED = "COMPLETED"
ERROR = "ERROR"

_PAGE_SIZE = 100
_TIMEOUT_SECONDS = 10
_RELEASE_SECONDS = 2
_PASSING = {429, 500, 502, 503, 504}

_log = logging.getLogger("bot")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Item:
    """One file to work on, as its document was at a version; `attempts` counts how often it was begun."""

    id: str
    bucket: str
    file_key: str
    status: str
    attempts: int
    seq_no: int
    primary_term: int


class WorkList:
    """One slice of a job's list; raises TransientError where the domain stays away, PermanentError where it refuses."""

    def __init__(self, environment: Environment) -> None:
        self._client = _client_of(environment)
        self._index = environment.es_index
        self._slice = [{"term": {"job_id": environment.job_id}}, {"term": {"batch_id": environment.batch_id}}]
        self._worker = worker_name()
        self._patience_seconds = patience_seconds()

    def refresh(self) -> None:
        """Make searches see all that was written until now."""
        self._answer(lambda: self._client.indices.refresh(index=self._index))

    def count_unfinished(self) -> int:
        """Count the files of the slice that nobody has finished."""
        body = {"query": self._unfinished()}
        return int(self._answer(lambda: self._client.count(index=self._index, body=body))["count"])

    def unfinished(self) -> Iterator[Item]:
        """Give the files that were not begun, or begun by an attempt that was cut off, a page at a time."""
        after: list[Any] | None = None
        while page := self.search_for_file_list(after):
            for hit in page:
                yield _item(hit)
            after = page[-1]["sort"]

    def search_for_file_list(self, after: list[Any] | None = None) -> list[Any]:
        """Fetch the page that follows the sort values `after`; the slice's first without them."""
        body: dict[str, Any] = {
            "query": self._unfinished(),
            "size": _PAGE_SIZE,
            "sort": [{"file_key": "asc"}, {"bucket": "asc"}],
            "_source": ["bucket", "file_key", "status", "attempts"],
            "seq_no_primary_term": True,
            "track_total_hits": False,
        }
        if after:
            body["search_after"] = after
        found: list[Any] = self._answer(lambda: self._client.search(index=self._index, body=body))["hits"]["hits"]
        return found

    def claim(self, item: Item) -> Item | None:
        """Take a file; None where it is not as the search said, for somebody has finished it since."""
        claim = {"status": PROCESSING, "worker": self._worker, "attempts": item.attempts + 1}
        cleared = {"output": "", "error": "", "error_code": ""}
        try:
            answer = self._update(item, claim | cleared)
        except NotFoundError:
            return None
        except ConflictError:
            answer = self._if_ours(item.id, claim)
            if not answer:
                return None
        version = {"seq_no": answer["_seq_no"], "primary_term": answer["_primary_term"]}
        return replace(item, status=PROCESSING, attempts=item.attempts + 1, **version)

    def update_status_by_id(
        self, item: Item, status: str = COMPLETED, output: str = "", *, error_code: str = "", error: str = ""
    ) -> None:
        """Record how a claimed file ended: `output` is where its result is, `error` the reason in a sentence."""
        fields = {"status": status, "output": output, "error_code": error_code, "error": error}
        try:
            self._update(item, fields)
        except (ConflictError, NotFoundError):
            if not self._if_ours(item.id, {**fields, "worker": self._worker}):
                _log.warning("the record of %r was changed by somebody else, and is left as it is", item.file_key)

    def release(self, item: Item, *, as_if_not_begun: bool) -> None:
        """Give a claimed file back, the attempt counted or not; where that fails, the next attempt takes it anyway."""
        fields = {"status": NOT_STARTED, "worker": "", "attempts": item.attempts - as_if_not_begun}
        try:
            self._update(item, fields, patience_seconds=_RELEASE_SECONDS)
        except (ConflictError, NotFoundError, TransientError, PermanentError) as error:
            _log.warning("%r could not be given back: %s", item.file_key, error)

    def _unfinished(self) -> dict[str, Any]:
        return {"bool": {"filter": [*self._slice, {"terms": {"status": [NOT_STARTED, PROCESSING]}}]}}

    def _update(self, item: Item, fields: Mapping[str, Any], *, patience_seconds: float | None = None) -> Any:
        # A partial document: fields that others have added to the file's document stay.
        body = {"doc": {**fields, "update_date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")}}
        version = {"if_seq_no": item.seq_no, "if_primary_term": item.primary_term}

        def update() -> Any:
            return self._client.update(index=self._index, id=item.id, body=body, params=dict(version))

        return self._answer(update, patience_seconds=patience_seconds)

    def _if_ours(self, id: str, fields: Mapping[str, Any]) -> Any:
        """Read a document back after a conflict: None unless it is what we have written, the answer having got lost."""
        try:
            found = self._answer(lambda: self._client.get(index=self._index, id=id))
        except NotFoundError:
            return None
        return found if all(found["_source"].get(name) == value for name, value in fields.items()) else None

    def _answer(self, request: Callable[[], _Answer], *, patience_seconds: float | None = None) -> _Answer:
        """Send a request until it is answered; a conflict or a missing document is an answer."""
        for pause in pauses(self._patience_seconds if patience_seconds is None else patience_seconds):
            try:
                return request()
            except ConflictError:
                raise
            except NotFoundError as error:
                if error.error == "index_not_found_exception":
                    raise PermanentError(f"the domain has no index {self._index}") from error
                raise
            except TransportError as error:
                if not isinstance(error, UnreachableError) and error.status_code not in _PASSING:
                    raise PermanentError(f"the domain refuses: {error.status_code} {error.error}") from error
                reason = f"{error.status_code} {error.error}"
            except SerializationError:  # something before the domain speaks in its place; what, may quote a document
                reason = "its answer cannot be read"
            _log.warning("the domain is away (%s); trying again in %.1f s", reason, pause)
            time.sleep(pause)
        raise TransientError(f"the domain is away: {reason}")


def _item(hit: Mapping[str, Any]) -> Item:
    source = hit["_source"]
    return Item(
        id=hit["_id"],
        bucket=source["bucket"],
        file_key=source["file_key"],
        status=source["status"],
        attempts=int(source.get("attempts") or 0),
        seq_no=hit["_seq_no"],
        primary_term=hit["_primary_term"],
    )


def _client_of(environment: Environment) -> OpenSearch:
    credentials = Session().get_credentials()
    if not credentials:
        raise PermanentError("there are no AWS credentials: the job's container needs a role")
    auth = AWS4Auth(region=environment.region_name, service="es", refreshable_credentials=credentials)

    def sign(method: str, url: str, body: bytes | None) -> Mapping[str, str]:
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        auth(SimpleNamespace(method=method, url=url, body=body, headers=headers))
        return headers

    logging.getLogger("opensearch").setLevel(logging.ERROR)  # what fails is told here, once
    return OpenSearch(
        hosts=[environment.es_url],
        connection_class=Urllib3HttpConnection,
        http_auth=sign,
        http_compress=False,  # the signature covers the body as it is sent
        timeout=_TIMEOUT_SECONDS,
        max_retries=0,  # `_answer` has its own
    )
