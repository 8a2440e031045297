"""Every call while the way to OpenSearch fails in every way: an answer in time that is true, and the right state."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any, Final

import pytest

from local.aws import make_bucket
from local.gateway import INTEGRATION_TIMEOUT_SECONDS
from local.stack import listen, stack
from tests.jobs import finished, post
from tests.ledger import UNAVAILABLE, Ledger
from tests.proxies import FaultProxy, SigningProxy
from tests.support import QUIET, ApiClient, Reply, eventually
from tests.torture.conftest import SHORT, Torture

Make = Callable[..., dict[str, Any]]
BUCKET: Final = "faults"
AT_ONCE: Final = 8
#: Two more than calls at once, for events: in Lambda nobody waits for an environment that another one uses.
ENVIRONMENTS: Final = AT_ONCE + 2
# The functions' own time in the full form. In the short one nobody waits for 26 s.
TIMEOUT_SECONDS: Final = 6 if SHORT else None
BUDGET_SECONDS: Final = TIMEOUT_SECONDS or INTEGRATION_TIMEOUT_SECONDS

FAULTS: Final[Mapping[str, Callable[[FaultProxy], None]]] = {
    "answers late": lambda proxy: proxy.slow(0.2),
    "answers too late": lambda proxy: proxy.slow(2),
    "resets": lambda proxy: proxy.reset_connections(),
    "truncates": lambda proxy: proxy.truncate(),
    "says nothing": lambda proxy: proxy.hang(),
    "refuses": lambda proxy: proxy.refuse(),
    "has vanished": lambda proxy: proxy.vanish(),
    "fails now and then": lambda proxy: proxy.at_random("drop", "reset", "truncate", "hang", share=0.2, seed=1),
    "loses every other answer": lambda proxy: proxy.at_random("drop", share=0.5, seed=2),
    "trickles": lambda proxy: proxy.drip(0.0001),
    "trickles without end": lambda proxy: proxy.drip(0.2),
}
#: Each call takes all the time that there is: one of each kind is enough.
LONG: Final = "trickles without end"
KINDS: Final = 13
IN_SHORT: Final = ("fails now and then", "has vanished", LONG)


@pytest.fixture
def way(signed_opensearch: SigningProxy) -> Iterator[FaultProxy]:
    with FaultProxy(signed_opensearch.url) as proxy:
        yield proxy


@pytest.fixture
def api(way: FaultProxy) -> Iterator[ApiClient]:
    with stack(
        way.url,
        listen(0),
        workers=ENVIRONMENTS,
        extra={"INDEX_PREFIX": "faults", "OPENSEARCH_TIMEOUT_SECONDS": "1", **QUIET},
        pace=0.01,
        timeout_seconds=TIMEOUT_SECONDS,
    ) as running:
        api = ApiClient(running.url, running.aws_url)
        make_bucket(api.aws("s3"), BUCKET)
        yield api


class Caller:
    """Makes every call there is, one kind after the other, about a bot and jobs of its own."""

    def __init__(self, api: ApiClient, configuration: dict[str, Any], known_job: dict[str, Any], first: int) -> None:
        self._api = api
        self._configuration = configuration
        self._known_job = known_job
        self._kinds = [
            *(self._register, self._read, self._replace, self._patch, self._list, self._remove, self._health),
            *(self._start_job, self._list_jobs, self._read_job, self._list_files, self._list_endpoints, self._deploy),
        ]
        assert len(self._kinds) == KINDS
        self._next = first
        self._numbers = count()
        self.ledger = Ledger(configuration["name"])
        self.jobs: dict[str, str] = {}  # the id that was answered, "" for none, by the key that was sent
        self.answers: Counter[int] = Counter()

    def prepare(self) -> None:
        """Have a bot to begin with in every other case."""
        there = self._next % 2 == 0
        method, body = ("PUT", self._configuration) if there else ("DELETE", None)
        patiently(lambda: self.ledger.call(self._api, method, body))

    def calls(self, count: int) -> float:
        """Make so many calls; give the seconds of the slowest."""
        slowest = 0.0
        for _ in range(count):
            kind = self._kinds[self._next % KINDS]
            self._next += 1
            begun = time.monotonic()
            reply = kind()
            slowest = max(slowest, time.monotonic() - begun)
            self.answers[reply.status] += 1
            if reply.status == UNAVAILABLE:
                assert int(reply.headers["retry-after"]) > 0
        return slowest

    def settle(self) -> None:
        """See, when nothing fails any more, that all is as it was answered."""
        patiently(lambda: self.ledger.call(self._api, "GET"))
        self.ledger.settle(self._api)
        for key, id in self.jobs.items():
            job = patiently(partial(self._post_job, key)).json
            assert id in ("", job["job_id"])
            repeat_event(self._api, job["job_id"])
            finished(self._api, job["job_id"])
        self.jobs.clear()

    def _register(self) -> Reply:
        return self.ledger.call(self._api, "POST", self._configuration)

    def _read(self) -> Reply:
        return self.ledger.call(self._api, "GET")

    def _replace(self) -> Reply:
        return self.ledger.call(self._api, "PUT", {**self._configuration, "bot_mem": 512 + next(self._numbers)})

    def _patch(self) -> Reply:
        return self.ledger.call(self._api, "PATCH", {"bot_mem": 65_536 + next(self._numbers)})

    def _remove(self) -> Reply:
        return self.ledger.call(self._api, "DELETE")

    def _list(self) -> Reply:
        reply = self._may("GET", f"/bots?limit=100&name_prefix={self.ledger.name}")
        if reply.status == 200:
            shown = [bot for bot in reply.json["bots"] if bot["name"] == self.ledger.name]
            assert len(shown) <= 1
        return reply

    def _health(self) -> Reply:
        return self._may("GET", "/health")

    def _start_job(self) -> Reply:
        key = f"{self.ledger.name}-{next(self._numbers)}"
        self.jobs[key] = ""
        reply = self._post_job(key)
        assert reply.status in (202, UNAVAILABLE), reply.body
        if reply.status == 202:
            self.jobs[key] = reply.json["job_id"]
        return reply

    def _post_job(self, key: str) -> Reply:
        return begin_job(self._api, self._known_job["bot_name"], key)

    def _list_jobs(self) -> Reply:
        return self._may("GET", f"/jobs?limit=5&bot_name={self._known_job['bot_name']}")

    def _read_job(self) -> Reply:
        return self._may("GET", f"/jobs/{self._known_job['job_id']}")

    def _list_files(self) -> Reply:
        return self._may("GET", f"/jobs/{self._known_job['job_id']}/files")

    def _list_endpoints(self) -> Reply:
        return self._may("GET", "/endpoints")

    def _deploy(self) -> Reply:
        return self._may("POST", f"/bots/{self._known_job['bot_name']}/deploy")

    def _may(self, method: str, path: str) -> Reply:
        reply = self._api(method, path)
        assert reply.status in (200, 202, UNAVAILABLE), f"{method} {path}: {reply.status} {reply.body!r}"
        return reply


def begin_job(api: ApiClient, bot: str, key: str) -> Reply:
    """Begin a job that finds no files: what is looked at here is the call, not the work."""
    return post(api, bot, BUCKET, {"Idempotency-Key": key}, s3_path="nothing-here/")


def repeat_event(api: ApiClient, job_id: str) -> None:
    """Tell of an execution's end once more, as Lambda does twice with an event with which a function failed."""
    event = {"id": "repeated", "detail": {"name": f"{job_id}-1"}}
    reply = api.aws("lambda").invoke(FunctionName="RecordJob", Payload=json.dumps(event).encode())
    assert "FunctionError" not in reply


def patiently(call: Callable[[], Reply]) -> Reply:
    """Make a call when nothing fails any more, again if need be, as a machine may be busy with other things."""
    return eventually(call, lambda reply: reply.status != UNAVAILABLE)


def test_every_call_is_answered_in_time_and_truly_whatever_becomes_of_opensearch(
    way: FaultProxy, api: ApiClient, configuration: Make, torture: Torture
) -> None:
    chosen = torture.size(tuple(FAULTS), short=IN_SHORT)
    reader = configuration()
    patiently(lambda: api("POST", "/bots", reader))
    eventually(lambda: api.endpoint_of(reader["name"])["status"], lambda status: status == "InService")
    begun = patiently(lambda: begin_job(api, reader["name"], "known"))
    known_job = finished(api, begun.json["job_id"])
    author_runs = {"endpoint_name": "invoice-layout", "endpoint_ecr_image_path": None}
    callers = [Caller(api, configuration(**author_runs), known_job, first) for first in range(KINDS)]
    slowest: dict[str, float] = {}

    for number, name in enumerate(chosen):
        rounds = 1 if name == LONG else torture.size(4, short=2)
        for caller in callers:
            caller.prepare()
        FAULTS[name](way)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            took = list(pool.map(lambda caller, rounds=rounds: caller.calls(rounds), callers))
        way.forward()
        for caller in callers:
            caller.settle()
        slowest[name] = max(took)
        torture.progress(f"faults ({name}: {slowest[name]:.1f} s at most)", number + 1, len(chosen))

    answers = sum((caller.answers for caller in callers), Counter())
    worst = max(slowest, key=lambda name: slowest[name])
    torture.report(
        "faults",
        answers.total(),
        "calls answered",
        goal=f"each within {BUDGET_SECONDS} s, truly or by 503",
        holds=slowest[worst] <= BUDGET_SECONDS,
        note=f"{len(chosen)} faults; the slowest took {slowest[worst]:.1f} s, where OpenSearch {worst}; "
        f"{answers[UNAVAILABLE]:,} answers of 503, the others true, and so was what was found afterwards",
    )
