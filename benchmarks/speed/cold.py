"""A cold start: from the start of a new process to its first answer, beside the least that a peer begins with.

That peer imports opensearch-py and pydantic and makes the stock signer; it answers nothing. Both load what ships. As it
writes nothing, the node that functions write to keeps its data in memory: a disk's fsync is no part of a cold start.
"""

import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.first_event import Context
from benchmarks.part import Run
from benchmarks.report import Result
from benchmarks.serving import serving
from benchmarks.shipped import PEER, FirstEvents, shipped
from benchmarks.timing import Timed
from local.aws import CREDENTIALS
from local.opensearch import DEFAULT_CACHE, OpenSearchNode
from local.stack import environment_of
from local.template import ROOT

NAMES: Final = ("cold_get", "cold_list", "cold_create")
READ_GOAL: Final = 0.8
CREATE_GOAL: Final = 1.3

_HEAVY: Final = ("opensearchpy", "pydantic", "boto3", "botocore.client")
_WARM_UP: Final = 200
# Linux: a file system in memory.
_MEMORY: Final = Path("/dev/shm")  # noqa: S108

Start = Callable[[], FirstEvents]


def measure(run: Run) -> Iterable[Result]:
    """Measure all three and their reference in turns; tell on stderr what each loads."""
    ships = shipped(build=not run.short)
    with serving("benchmarks.aws") as aws_url, _node_in_memory() as opensearch_url:
        environment = environment_of(opensearch_url, aws_url) | CREDENTIALS
        environment["INDEX_PREFIX"] = os.environ["INDEX_PREFIX"]
        _warm_up(environment, 20 if run.short else _WARM_UP)
        # Registrations go into indices of their own: the reads find one bot, as the first caller does.
        apart = environment | {"INDEX_PREFIX": f"{environment['INDEX_PREFIX']}-new"}
        new_bots = _new_bots()
        starts: dict[str, Start] = {
            "peer": lambda: ships.answer(PEER, [], environment),
            "cold_get": lambda: ships.answer("handlers.get_bot.handler", [_event("get_bot")], environment),
            "cold_list": lambda: ships.answer("handlers.list_bots.handler", [_event("list_bots")], environment),
            "cold_create": lambda: ships.answer("handlers.create_bot.handler", [next(new_bots)], apart),
        }
        first = {name: start() for name, start in starts.items()}
        assert [seen.status for seen in first.values()] == [0, 200, 200, 201]
        timed = Timed(_medians(run, starts))
    for name, seen in first.items():
        print(f"  {name}: {_loaded(seen)}", file=sys.stderr)
    for name, goal in (("cold_get", READ_GOAL), ("cold_list", READ_GOAL), ("cold_create", CREATE_GOAL)):
        yield timed.result(
            name, name, "peer", goal=goal, note="; ".join(filter(None, (_loaded(first[name]), ships.note)))
        )


@contextmanager
def _node_in_memory() -> Iterator[str]:
    folder = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=folder) as data, OpenSearchNode(Path(data), DEFAULT_CACHE) as node:
        yield node.url


def _medians(run: Run, starts: Mapping[str, Start]) -> dict[str, list[float]]:
    rounds, each = (2, 1) if run.short else (9, 5)
    medians: dict[str, list[float]] = {name: [] for name in starts}
    for _ in run.track("cold starts", range(rounds), rounds):
        taken: dict[str, list[float]] = {name: [] for name in starts}
        for _ in range(each):
            for name, start in starts.items():
                taken[name].append(start().seconds)
        for name, seconds in taken.items():
            medians[name].append(statistics.median(seconds))
    return medians


def _warm_up(environment: Mapping[str, str], calls: int) -> None:
    """Store the bot that is read, and have the node compile what it runs: its cold start is not a function's."""
    os.environ.update(environment)
    from handlers import create_bot, get_bot, list_bots  # noqa: PLC0415 - after the environment is set

    assert create_bot.handler(_event("create_bot"), Context)["statusCode"] in (200, 201)
    for _ in range(calls):
        assert get_bot.handler(_event("get_bot"), Context)["statusCode"] == 200
        assert list_bots.handler(_event("list_bots"), Context)["statusCode"] == 200


def _new_bots() -> Iterator[dict[str, Any]]:
    """Make registrations of bots whose endpoint is missing: it is looked for, noted, and its making is triggered."""
    event = _event("create_bot")
    fields = json.loads(event["body"])
    for number in itertools.count(1):
        body = json.dumps({**fields, "name": f"new-{number}", "endpoint_name": f"new-{number}"})
        yield {**event, "body": body}


def _event(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


def _loaded(seen: FirstEvents) -> str:
    heavy = ", ".join(name for name in _HEAVY if name in seen.modules)
    return f"{len(seen.modules)} modules, with {heavy}"
