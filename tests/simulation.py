"""A world for the control loop's histories: SageMaker in memory, an index in memory, a clock, and crashes.

`SimulatedIndex` keeps the promises of shared.opensearch.Index that the records' door builds on; a test holds both to
the same contract. `SimulatedSageMaker` takes the door's own calls; the loop meets the HTTP shapes of SageMaker in the
tests over local/sagemaker.py.
"""

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.endpoints.plan import (
    CreateEndpoint,
    CreateEndpointConfig,
    CreateModel,
    DeleteEndpoint,
    DeleteEndpointConfig,
    DeleteModel,
    Step,
    UpdateEndpoint,
)
from shared.endpoints.record import MOVING, Observed, Status
from shared.errors import RegistryUnavailableError, SageMakerError
from shared.opensearch import Document, Version, VersionConflictError


class Crash(BaseException):
    """The process is gone, with whatever it was about to do."""


class SimulatedIndex:
    """Documents with versions, as an index gives them; `rest` is called when an answer is on its way."""

    def __init__(self, rest: Callable[[], None] = lambda: None) -> None:
        self._documents: dict[str, Document] = {}
        self._numbers = itertools.count()
        self._rest = rest
        self._writes_until_failure: float = math.inf
        self._meanwhile: Callable[[], None] | None = None

    def fail(self, *, after: int) -> None:
        """Have the registry be away for one write, after so many that are made."""
        self._writes_until_failure = after

    def lose_an_answer(self, meanwhile: Callable[[], None]) -> None:
        """Have the next write be made without an answer, and tried again after `meanwhile`."""
        self._meanwhile = meanwhile

    def get(self, id: str) -> Document | None:
        found = self._documents.get(id)
        self._rest()
        return found

    def get_many(self, ids: Sequence[str]) -> dict[str, Document]:
        return {id: self._documents[id] for id in ids if id in self._documents}

    def create(self, id: str, source: Mapping[str, Any]) -> Document:
        if id in self._documents:
            raise VersionConflictError(self._documents[id])
        return self._put(id, source)

    def replace(self, id: str, source: Mapping[str, Any], version: Version) -> Document:
        existing = self._documents.get(id)
        if existing is None or existing.version != version:
            raise VersionConflictError(existing)
        return self._put(id, source)

    def delete(self, id: str, version: Version) -> None:
        existing = self._documents.get(id)
        if existing and existing.version != version:
            raise VersionConflictError(existing)
        self._documents.pop(id, None)
        self._rest()

    def search(self, body: Mapping[str, Any]) -> list[Document]:
        """Answer the one query of the schedule: not settled, or not looked at since."""
        settled, unseen = body["query"]["bool"]["should"]
        before = unseen["range"]["observed_at"]["lt"]
        assert settled == {"term": {"settled": {"value": False}}}
        return [
            document
            for document in self._documents.values()
            if not document.source["settled"] or (document.source["observed_at"] or before) < before
        ]

    def _put(self, id: str, source: Mapping[str, Any]) -> Document:
        self._writes_until_failure -= 1
        if self._writes_until_failure == -1:
            raise RegistryUnavailableError("simulated")
        document = Document(id, dict(source), Version(next(self._numbers), 1))
        self._documents[id] = document
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile:
            meanwhile()
            if self._documents[id] != document:
                raise VersionConflictError(self._documents[id])
        self._rest()
        return document


@dataclass
class SimulatedEndpoint:
    """An endpoint; `pending` is the config that an update goes to."""

    name: str
    status: Status
    config_name: str
    managed: bool
    pending: str = ""
    reason: str = ""
    modified: int = 0


@dataclass
class SimulatedSageMaker:
    """Endpoints, configs and models; moving states end when `tick` says how."""

    endpoints: dict[str, SimulatedEndpoint] = field(default_factory=dict)
    configs: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    runs: "dict[int, Run]" = field(default_factory=dict)

    def observe(self, name: str) -> Observed:
        endpoint = self.endpoints.get(name.lower())
        seen = Observed(Status.MISSING)
        if endpoint:
            seen = Observed(
                endpoint.status, endpoint.config_name, endpoint.managed, endpoint.reason, f"{endpoint.modified:09}"
            )
        self.rest()
        return seen

    def carry_out(self, step: Step) -> None:
        if self.refusals:
            raise SageMakerError(*self.refusals.pop())
        match step:
            case CreateModel(name, _):
                self.models.add(name)
            case CreateEndpointConfig(name, _):
                assert name in self.models
                self.configs.add(name)
            case CreateEndpoint(name, config_name):
                self._create(name, config_name)
            case UpdateEndpoint(name, config_name):
                self._update(self.endpoints[name.lower()], config_name)
            case DeleteEndpoint(name):
                self._delete(self.endpoints.get(name.lower()))
            case DeleteEndpointConfig(name):
                self._free(name)
                self.configs.discard(name)
            case DeleteModel(name):
                self._free(name)
                self.models.discard(name)
        self.rest()

    def tick(self, outcome: str) -> None:
        """End every moving state: well, or as `outcome` says."""
        for key, endpoint in list(self.endpoints.items()):
            if endpoint.status not in MOVING:
                continue
            endpoint.modified += 1
            if endpoint.status is Status.DELETING:
                del self.endpoints[key]
            elif endpoint.status is Status.CREATING:
                endpoint.status = Status.FAILED if outcome == "fails" else Status.IN_SERVICE
            elif endpoint.pending:
                self._end_update(endpoint, outcome)
            else:
                endpoint.status = Status.IN_SERVICE

    def _end_update(self, endpoint: SimulatedEndpoint, outcome: str) -> None:
        endpoint.status = Status.IN_SERVICE
        if outcome == "well":
            endpoint.config_name = endpoint.pending
        elif outcome == "mixed":
            endpoint.status = Status.UPDATE_ROLLBACK_FAILED
        elif outcome == "fails":
            endpoint.status = Status.FAILED
        endpoint.pending = ""

    def _create(self, name: str, config_name: str) -> None:
        if name.lower() in self.endpoints:
            return  # the door takes "already existing" for success
        assert config_name in self.configs
        self.endpoints[name.lower()] = SimulatedEndpoint(name, Status.CREATING, config_name, managed=True)

    def _update(self, endpoint: SimulatedEndpoint, config_name: str) -> None:
        assert endpoint.managed, "an endpoint that is not ours was touched"
        if endpoint.status in MOVING or endpoint.status is Status.FAILED:
            raise SageMakerError("ValidationException", "Cannot update in-progress endpoint")
        assert config_name in self.configs
        endpoint.status, endpoint.pending, endpoint.reason = Status.UPDATING, config_name, ""
        endpoint.modified += 1

    def _delete(self, endpoint: SimulatedEndpoint | None) -> None:
        if endpoint is None:
            return
        assert endpoint.managed, "an endpoint that is not ours was touched"
        if endpoint.status in MOVING:
            raise SageMakerError("ValidationException", "Cannot update in-progress endpoint")
        endpoint.status = Status.DELETING
        endpoint.modified += 1

    def _free(self, name: str) -> None:
        for endpoint in self.endpoints.values():
            assert name not in (endpoint.config_name, endpoint.pending), f"{name} is in use and was removed"

    def rest(self) -> None:
        """Let a run that is stepped through rest here: the call was carried out, its answer is on the way."""
        if run := self.runs.get(threading.get_ident()):
            run.rest()


class Run:
    """One run of the loop in a thread of its own, which rests after each call to SageMaker or the index.

    So several runs stand side by side, each with an answer that may be old by the time it is told to go on.
    """

    def __init__(self, sagemaker: SimulatedSageMaker, work: Callable[[], object]) -> None:
        self.over = False
        self._sagemaker = sagemaker
        self._work = work
        self._crashed = False
        self._go = threading.Semaphore(0)
        self._resting = threading.Semaphore(0)
        threading.Thread(target=self._run, daemon=True).start()
        self._resting.acquire()

    def go_on(self) -> None:
        """Let the run go on to the end of its next call, or to its own end."""
        if not self.over:
            self._go.release()
            self._resting.acquire()

    def crash(self) -> None:
        """End the run where it rests."""
        self._crashed = True
        self.go_on()

    def rest(self) -> None:
        """Wait to be told; called by the run itself."""
        self._resting.release()
        self._go.acquire()
        if self._crashed:
            raise Crash

    def _run(self) -> None:
        self._sagemaker.runs[threading.get_ident()] = self
        with contextlib.suppress(Crash):
            self._work()
        del self._sagemaker.runs[threading.get_ident()]
        self.over = True
        self._resting.release()


class Clock:
    """A clock that stands still until it is set on."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by
