"""The OpenSearch node is killed again and again while callers register: what they were promised is there afterwards."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.hosts import LOOPBACK
from local.opensearch import DEFAULT_CACHE, OpenSearchNode
from local.stack import listen, stack
from tests.ledger import UNAVAILABLE, Ledger
from tests.support import QUIET, ApiClient, eventually
from tests.torture.conftest import Torture

Make = Callable[..., dict[str, Any]]
CALLERS = 8
# Of new registrations, between a start of the node and its next end.
ACKNOWLEDGED_BETWEEN_KILLS = 25
RETRY_SECONDS = 0.2


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[OpenSearchNode]:
    """A node that comes back on its port, as the handlers know it by its address."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
    with OpenSearchNode(tmp_path, DEFAULT_CACHE, port) as node:
        yield node


@pytest.fixture
def api(mortal: OpenSearchNode) -> Iterator[ApiClient]:
    with stack(mortal.url, listen(0), extra=QUIET) as running:
        yield ApiClient(running.url, running.aws_url)


class Caller:
    """Registers one bot after the other; changes some of them, and sends some again that came to nothing."""

    def __init__(self, api: ApiClient, make: Make, over: threading.Event) -> None:
        self._api = api
        self._make = make
        self._over = over
        self.ledgers: list[Ledger] = []
        self.acknowledged = 0

    def work(self) -> None:
        while not self._over.is_set():
            # Of an endpoint that its author runs, so that the work is the registration alone.
            bot = self._make(endpoint_name="invoice-layout", endpoint_ecr_image_path=None)
            ledger = Ledger(bot["name"])
            self.ledgers.append(ledger)
            self._register(ledger, bot, again=len(self.ledgers) % 2 == 0)
            if len(self.ledgers) % 3 == 0:
                ledger.call(self._api, "PATCH", {"bot_mem": 1024 + len(self.ledgers)})
            ledger.call(self._api, "GET")

    def _register(self, ledger: Ledger, bot: dict[str, Any], *, again: bool) -> None:
        while ledger.call(self._api, "POST", bot).status == UNAVAILABLE:
            self._over.wait(RETRY_SECONDS)
            if not again or self._over.is_set():
                return
        self.acknowledged += 1


def test_what_was_acknowledged_is_there_after_the_node_was_killed(
    mortal: OpenSearchNode, api: ApiClient, configuration: Make, torture: Torture
) -> None:
    kills = torture.size(10, short=2)
    over = threading.Event()
    callers = [Caller(api, configuration, over) for _ in range(CALLERS)]

    def acknowledged() -> int:
        return sum(caller.acknowledged for caller in callers)

    def refused() -> int:
        return sum(ledger.answers[UNAVAILABLE] for caller in callers for ledger in list(caller.ledgers))

    def wait_for_more(count: Callable[[], int], more: int) -> None:
        enough = count() + more
        eventually(count, lambda now: now >= enough or any(future.done() for future in work), seconds=60)

    with ThreadPoolExecutor(CALLERS) as pool:
        work = [pool.submit(caller.work) for caller in callers]
        try:
            for killed in range(kills):
                wait_for_more(acknowledged, ACKNOWLEDGED_BETWEEN_KILLS)
                mortal.kill()
                wait_for_more(refused, CALLERS)
                mortal.start()
                torture.progress("kills", killed + 1, kills)
            wait_for_more(acknowledged, ACKNOWLEDGED_BETWEEN_KILLS)
        finally:
            over.set()
    for done in work:
        done.result()

    ledgers = [ledger for caller in callers for ledger in caller.ledgers]
    there, amiss = 0, list[str]()
    for ledger in ledgers:
        try:
            there += ledger.settle(api)
        except AssertionError as error:
            amiss.append(str(error))
    certain = sum(None not in ledger.may_be for ledger in ledgers)
    seen: Counter[int] = sum((ledger.answers for ledger in ledgers), Counter())
    torture.report(
        "acked_loss",
        certain - len(amiss),
        "registrations kept",
        goal="all that were acknowledged",
        holds=not amiss and set(seen) <= {200, 201, 404, UNAVAILABLE},
        note=f"{kills} kills; {certain:,} acknowledged, {there - certain} more there whole, "
        f"{len(ledgers) - there} absent; {seen[UNAVAILABLE]:,} of {seen.total():,} answers were 503"
        + "".join(f"; {what}" for what in amiss[:3]),
    )
