"""`make bench`: a warm GET /bots/{name} against raw round trips for the same reads, interleaved in one run."""

import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import urllib3

from local.opensearch import DEFAULT_CACHE, OpenSearchNode
from local.stack import LOGGING, environment_of
from local.template import ROOT

ROUNDS: Final = 5
CALLS: Final = 400
WARM_UP: Final = 200
GOAL: Final = 2.0


def main() -> int:
    """Print the table; 1 where the goal is missed."""
    with tempfile.TemporaryDirectory() as data, OpenSearchNode(Path(data), DEFAULT_CACHE) as node:
        os.environ.update(environment_of(node.url, "http://127.0.0.1:9") | LOGGING)
        handler, raw = _handler(), _raw(node.url)
        ratios, references = [], []
        for _ in range(WARM_UP):
            handler()
            raw()
        for _ in range(ROUNDS):
            handled, reference = _interleaved(handler, raw)
            ratios.append(handled / reference)
            references.append(reference)
    ratio = statistics.median(ratios)
    print(f"warm GET /bots/{{name}}, p50 over {CALLS} calls, {ROUNDS} rounds, interleaved with its reference")
    print(f"  raw urllib3, the same two reads  {statistics.median(references) * 1e3:6.2f} ms")
    print(f"  handler, in process              {statistics.median(references) * ratio * 1e3:6.2f} ms")
    print(f"  ratio {ratio:.2f} (from {min(ratios):.2f} to {max(ratios):.2f}), goal at most {GOAL}")
    return int(ratio > GOAL)


def _interleaved(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Call one after the other, so that both meet the same noise; give the median seconds of each."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(CALLS):
        for call, taken in zip((first, second), seconds, strict=True):
            begun = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begun)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _handler() -> Callable[[], object]:
    """Store the bot of the sample event and its endpoint's record; give the call that reads both."""
    from handlers import get_bot  # noqa: PLC0415 - after the environment is set
    from shared.bots.registry import bots  # noqa: PLC0415
    from shared.endpoints.records import endpoints  # noqa: PLC0415

    event = json.loads((ROOT / "events" / "get_bot.json").read_text())
    fields = json.loads((ROOT / "byob" / "bot_config.json").read_text())
    bots().create(fields)
    endpoints().upsert(fields["endpoint_name"], lambda record: record)

    context = SimpleNamespace(function_name="get_bot", aws_request_id="f00d")
    log = Path(os.devnull).open("w", buffering=1)  # noqa: SIM115 - as long as the process

    def call() -> Any:
        with contextlib.redirect_stdout(log):  # as in Lambda, the line of metrics is written
            answer = get_bot.handler(event, context)
        assert answer["statusCode"] == 200
        return answer

    return call


def _raw(opensearch_url: str) -> Callable[[], object]:
    pool = urllib3.PoolManager()
    fields = json.loads((ROOT / "byob" / "bot_config.json").read_text())
    ids = json.dumps({"ids": [fields["endpoint_name"].lower()]}).encode()
    headers = {"Content-Type": "application/json"}

    def call() -> None:
        bot = pool.request("GET", f"{opensearch_url}/byob-bots/_doc/{fields['name']}")
        records = pool.request("POST", f"{opensearch_url}/byob-endpoints/_mget", body=ids, headers=headers)
        assert (bot.status, records.status) == (200, 200)
        bot.json()
        records.json()

    return call


if __name__ == "__main__":
    sys.exit(main())
