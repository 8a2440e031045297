"""Mixed load for minutes on the stack as a person starts it: neither the gateway nor the handlers' processes grow.

The stack is a process of its own, so that the callers' memory is not taken for the gateway's. That process also holds
the emulated AWS, which keeps all that is made in it, so nothing here makes anything in AWS: all bots name one endpoint,
which is there from the beginning. The bots themselves are removed again, so that the registry stays small, too.
"""

import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.support import ApiClient, Reply, copy_tree, eventually
from tests.torture.conftest import Torture

Make = Callable[..., dict[str, Any]]
CALLERS: Final = 6
SECONDS_BETWEEN_LOOKS: Final = 1.0
SECONDS_BETWEEN_LOOKS_AT_REST: Final = 0.1
LOOKS_AT_REST: Final = 20
#: Of resident memory, from the first quarter after the warm-up to the last, medians. They were seen to differ by two in
#: a thousand; 400 bytes left behind by each call would be 3 per cent, at some 6,000 calls a process in between.
MOST_GROWTH: Final = 1.03


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[tuple[psutil.Process, ApiClient]]:
    """`python -m local run` in a copy of the tree, so that the bots there are these alone."""
    copy_tree(tmp_path)
    with subprocess.Popen(
        # One of each function: all are there and warm before they are looked at.
        [sys.executable, "-m", "local", "run", "--port", "0", "--environments", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}/src:{tmp_path}"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            ready = re.fullmatch(r"ready: (http://\S+)\n", process.stdout.readline())
            assert ready
            yield psutil.Process(process.pid), ApiClient(ready[1])
        finally:
            process.terminate()


@dataclass
class Watched:
    """A process, and the bytes of resident memory that were seen of it under load."""

    name: str
    process: psutil.Process
    memory: list[int] = field(default_factory=list)

    def look(self) -> None:
        self.memory.append(self.process.memory_info().rss)

    @property
    def quarters(self) -> tuple[float, float]:
        """The medians of the first and of the last quarter."""
        size = max(len(self.memory) // 4, 1)
        return statistics.median(self.memory[:size]), statistics.median(self.memory[-size:])

    @property
    def growth(self) -> float:
        first, last = self.quarters
        return last / first


class Caller:
    """Does all that callers do, again and again: right and wrong, about one bot that it makes and removes."""

    def __init__(self, api: ApiClient, bot: dict[str, Any]) -> None:
        self._api = api
        self._bot = bot
        self._path = f"/bots/{bot['name']}"
        self.answers: Counter[int] = Counter()

    def work(self, over: threading.Event) -> None:
        while not over.is_set():
            self._expect(201, "POST", "/bots", self._bot)
            self._expect(200, "POST", "/bots", self._bot)
            etag = self._expect(200, "GET", self._path).etag
            self._read_again(etag)
            self._expect(409, "POST", "/bots", {**self._bot, "bot_image": "another"})
            self._expect(422, "POST", "/bots", {**self._bot, "file_types": "pdf", "colour": "blue"})
            self._expect(400, "POST", "/bots", b'{"name": ')
            self._expect(200, "PATCH", self._path, {"bot_vcpu": 2})
            self._expect(412, "PATCH", self._path, {"bot_vcpu": 3}, {"If-Match": etag})
            self._expect(200, "PUT", self._path, {**self._bot, "bot_mem": 2048})
            self._expect(200, "GET", "/bots?limit=5&file_type=.pdf")
            self._expect(400, "GET", "/bots?limit=none")
            self._expect(200, "GET", "/endpoints")
            self._expect(200, "GET", "/jobs?limit=5")
            self._expect(404, "GET", "/jobs/46e72e78e17e45208a473280bf03e15b")
            self._expect(422, "POST", "/jobs", {"bot_name": self._bot["name"]})
            self._expect(405, "DELETE", "/bots")
            self._expect(403, "GET", "/nowhere")
            self._expect(200, "GET", "/health")
            self._expect(204, "DELETE", self._path)
            self._expect(404, "GET", self._path)

    def _read_again(self, etag: str) -> None:
        """Expect a 304, unless another caller's registration had the endpoint looked at in between: the ETag tells."""
        reply = self._api("GET", self._path, None, {"If-None-Match": etag})
        assert reply.status == (304 if reply.etag == etag else 200), f"{etag}: {reply.status} {reply.etag}"
        self.answers[reply.status] += 1

    def _expect(
        self, status: int, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Reply:
        reply = self._api(method, path, body, headers)
        assert reply.status == status, f"{method} {path}: {reply.status} {reply.body!r}"
        self.answers[reply.status] += 1
        return reply


def test_memory_and_descriptors_stay_as_they_are_under_mixed_load(
    stack: tuple[psutil.Process, ApiClient], configuration: Make, torture: Torture
) -> None:
    warm_up, seconds = torture.size((120, 480), short=(5, 15))
    gateway, api = stack
    author_runs = {"endpoint_name": "invoice-layout", "endpoint_ecr_image_path": None}
    api.register(configuration(endpoint_name="invoice-layout"))
    eventually(lambda: api("GET", "/endpoints").json["endpoints"], lambda seen: seen[0]["status"] == "InService")
    callers = [Caller(api, configuration(**author_runs)) for _ in range(CALLERS)]

    load(callers, warm_up, lambda _: None)
    # Environments are children of the server that forks them, made with the first event of a function.
    environments = [child for server in gateway.children() for child in server.children() if "python" in child.name()]
    assert environments
    watched = [Watched("gateway", gateway), *(Watched(f"handlers {n}", each) for n, each in enumerate(environments, 1))]
    descriptors = at_rest(watched)

    def look(passed: float) -> None:
        for each in watched:
            each.look()
        torture.progress("seconds of load", round(passed), seconds)

    load(callers, seconds, look)
    more = [after - before for before, after in zip(descriptors, at_rest(watched), strict=True)]

    calls = sum(caller.answers.total() for caller in callers)
    sizes = ", ".join(f"{each.name} {each.quarters[1] / 2**20:.0f} MB x {each.growth:.3f}" for each in watched)
    growth = max(each.growth for each in watched)
    torture.report(
        "soak",
        calls,
        "calls",
        goal=f"memory x <= {MOST_GROWTH}, no more descriptors",
        holds=growth <= MOST_GROWTH and max(more) <= 0,
        note=f"{seconds} s after {warm_up} s, {CALLERS} at once; {sizes}; descriptors {descriptors}, then {more} more",
    )


def load(callers: list[Caller], seconds: float, look: Callable[[float], None]) -> None:
    """Have all callers at work for some time, and look every second."""
    over = threading.Event()
    with ThreadPoolExecutor(CALLERS) as pool:
        work = [pool.submit(caller.work, over) for caller in callers]
        try:
            begun = time.monotonic()
            while (passed := time.monotonic() - begun) < seconds and not any(done.done() for done in work):
                look(passed)
                over.wait(SECONDS_BETWEEN_LOOKS)
        finally:
            over.set()
    for done in work:
        done.result()


def at_rest(watched: list[Watched]) -> list[int]:
    """Count open descriptors while nobody calls: the least of some looks, as the schedule does not rest."""
    looks = []
    for _ in range(LOOKS_AT_REST):
        time.sleep(SECONDS_BETWEEN_LOOKS_AT_REST)
        looks.append([each.process.num_fds() for each in watched])
    return [min(counts) for counts in zip(*looks, strict=True)]
