"""A page of the list of bots: what it costs where there are many, and deep in the list, beside the first of few."""

import itertools
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import urllib3

from benchmarks.first_event import Context
from benchmarks.part import Run
from benchmarks.report import Result
from benchmarks.timing import Rounds, Timed, interleaved
from local.template import ROOT

NAMES: Final = ("list_first_100k", "list_deep")
GOAL: Final = 1.2
PAGE: Final = 50
DEEP: Final = 1_000

_ENDPOINTS: Final = 1_000
_AT_ONCE: Final = 2_000

Call = Callable[[], dict[str, Any]]


def measure(run: Run) -> Iterable[Result]:
    """Fill an index with few bots and one with many; time their first pages and a deep one in turns."""
    few, many, deep = (500, 2_000, 30) if run.short else (1_000, 100_000, DEEP)
    first_of_few = _Stored(run.opensearch_url, "few", few).page()
    stored = _Stored(run.opensearch_url, "many", many)
    first, after_many = stored.page(), stored.page(after=_name((deep - 1) * PAGE - 1))
    assert _names(first()) == [_name(number) for number in range(PAGE)]
    assert _names(after_many()) == [_name(number) for number in range((deep - 1) * PAGE, deep * PAGE)]
    with _received() as lengths:
        answered = len(first()["body"])
    calls = {"few": first_of_few, "first": first, "deep": after_many}
    timed = _timed(run, calls)
    sent = f"OpenSearch sent {lengths[0]:,} bytes of bots and {lengths[1]:,} of endpoints for {answered:,}"
    note = f"page 1 of {many:,} bots, beside page 1 of {few:,}; {sent}"
    yield timed.result("list_first_100k", "first", "few", goal=GOAL, note=note)
    note = f"page {deep:,} of {many:,} bots, beside page 1"
    yield timed.result("list_deep", "deep", "first", goal=GOAL, note=note)


def _timed(run: Run, calls: Mapping[str, Call]) -> Timed:
    if run.short:
        return interleaved(calls, Rounds(2, 5), warm_up=5)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    warm_up, rounds = 200, 9
    for _ in run.track("pages", range(rounds), rounds):
        one = interleaved(calls, Rounds(1, 60), warm_up=warm_up)
        warm_up = 0
        for name, medians in one.seconds.items():
            seconds[name] += medians
    return Timed(seconds)


class _Stored:
    """So many bots, and the records of their endpoints, in indices of their own, as the registry keeps them."""

    def __init__(self, opensearch_url: str, name: str, count: int) -> None:
        from handlers import list_bots  # noqa: PLC0415 - after the environment is set
        from shared import settings  # noqa: PLC0415
        from shared.bots.registry import BotRegistry  # noqa: PLC0415
        from shared.endpoints.records import EndpointRecords  # noqa: PLC0415

        prefix = os.environ["INDEX_PREFIX"]
        os.environ["INDEX_PREFIX"] = f"{prefix}-{name}"
        settings.opensearch.cache_clear()
        self._handler = list_bots
        self._bots, self._endpoints = BotRegistry(), EndpointRecords()
        self._url = f"{opensearch_url}/{os.environ['INDEX_PREFIX']}"
        os.environ["INDEX_PREFIX"] = prefix
        self._fill(count)

    def page(self, after: str = "") -> Call:
        """Give a call that lists the page of 50 that follows the bot `after`."""
        from shared.bots.page import BotQuery  # noqa: PLC0415

        query = {"next_token": [BotQuery().next_token(after)]} if after else None
        sample = json.loads((ROOT / "events" / "list_bots.json").read_text())
        event = {**sample, "queryStringParameters": None, "multiValueQueryStringParameters": query}
        doors = {"bots": lambda: self._bots, "endpoints": lambda: self._endpoints}

        def call() -> dict[str, Any]:
            vars(self._handler).update(doors)
            answer: dict[str, Any] = self._handler.handler(event, Context)
            assert answer["statusCode"] == 200, answer
            return answer

        return call

    def _fill(self, count: int) -> None:
        """Store one bot and one record by the doors, and copies of them under other names, in no order."""
        from shared.bots.config import BotConfig  # noqa: PLC0415
        from shared.clock import flat_now, now  # noqa: PLC0415
        from shared.endpoints.record import Observed, Status  # noqa: PLC0415

        names = [_name(number) for number in range(count)]
        random.Random(7).shuffle(names)  # noqa: S311 - the same order in every run
        sample = json.loads((ROOT / "byob" / "bot_config.json").read_text())
        fields = BotConfig.from_json({**sample, "name": names[0], "endpoint_name": _endpoint(0)}).fields()
        self._bots.create({**fields, "create_date": flat_now(), "update_date": flat_now()})
        self._endpoints.upsert(_endpoint(0), lambda record: record.seen(Observed(Status.IN_SERVICE), now()))
        bot, record = self._source("bots", names[0]), self._source("endpoints", _endpoint(0))
        endpoints = itertools.cycle(range(1, _ENDPOINTS))
        self._copy("bots", ({**bot, "name": name, **_naming(_endpoint(next(endpoints)), bot)} for name in names[1:]))
        self._copy("endpoints", ({**record, "name": _endpoint(number)} for number in range(1, _ENDPOINTS)))

    def _source(self, index: str, id: str) -> dict[str, Any]:
        source: dict[str, Any] = urllib3.request("GET", f"{self._url}-{index}/_source/{id}").json()
        return source

    def _copy(self, index: str, sources: Iterable[Mapping[str, Any]]) -> None:
        lines = (f'{{"create":{{"_id":"{source["name"]}"}}}}\n{json.dumps(source)}\n' for source in sources)
        headers = {"Content-Type": "application/x-ndjson"}
        while chunk := "".join(itertools.islice(lines, _AT_ONCE)):
            answer = urllib3.request("POST", f"{self._url}-{index}/_bulk", body=chunk.encode(), headers=headers)
            assert answer.status == 200
            assert not answer.json()["errors"]
        urllib3.request("POST", f"{self._url}-{index}/_refresh")


def _naming(endpoint: str, bot: Mapping[str, Any]) -> dict[str, Any]:
    return {"endpoint_name": endpoint, "search": {**bot["search"], "endpoint_names": [endpoint]}}


def _name(number: int) -> str:
    return f"bot-{number:06}"


def _endpoint(number: int) -> str:
    return f"endpoint-{number:04}"


def _names(answer: Mapping[str, Any]) -> list[str]:
    return [bot["name"] for bot in json.loads(answer["body"])["bots"]]


@contextmanager
def _received() -> Iterator[list[int]]:
    """Note the length of each answer that OpenSearch sends meanwhile, in bytes."""
    from shared.opensearch import client  # noqa: PLC0415 - after the environment is set

    (connection,) = client().transport.connection_pool.connections
    ask, lengths = connection.pool.urlopen, []

    def answer(*arguments: Any, **options: Any) -> Any:
        answered = ask(*arguments, **options)
        lengths.append(len(answered.data))
        return answered

    connection.pool.urlopen = answer
    try:
        yield lengths
    finally:
        connection.pool.urlopen = ask
