"""What takes too long is broken off while there is time to say so, and leaves nothing half-read behind."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from shared import opensearch
from shared.api import Answer, Request, operation
from shared.deadline import Deadline
from shared.errors import OutOfTimeError
from shared.invocation import task
from shared.opensearch import Index
from tests.proxies import FaultProxy
from tests.support import in_this_process

EVENT: dict[str, Any] = {
    "httpMethod": "GET",
    "resource": "/",
    "multiValueHeaders": {},
    "requestContext": {"requestId": "4f1c", "path": "/", "identity": {}},
}


def context(*, milliseconds: int) -> Any:
    return SimpleNamespace(
        function_name="get_bot",
        memory_limit_in_mb=512,
        invoked_function_arn="",
        aws_request_id="9a0e",
        get_remaining_time_in_millis=lambda: milliseconds,
    )


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A connection whose other end never says anything."""
    here, there = socket.socketpair()
    with here, there:
        yield here


@pytest.fixture
def index(fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    fault_proxy.forward()
    with in_this_process(fault_proxy.url, "deadline", monkeypatch, function="CreateBot"):
        yield Index("things", {"name": {"type": "keyword"}})
    fault_proxy.forward()


def test_a_read_that_blocks_is_broken_off(silent: socket.socket) -> None:
    with pytest.raises(OutOfTimeError), Deadline(context(milliseconds=100)):
        silent.recv(1)


def test_libraries_that_try_again_after_every_error_are_broken_off_too(silent: socket.socket) -> None:
    def stubborn() -> None:
        while True:
            with suppress(Exception):
                silent.recv(1)

    with pytest.raises(OutOfTimeError), Deadline(context(milliseconds=100)):
        stubborn()


def test_what_got_lost_in_a_finaliser_is_raised_again(silent: socket.socket) -> None:
    def unlucky() -> None:
        with suppress(BaseException):
            silent.recv(1)
        silent.recv(1)

    with pytest.raises(OutOfTimeError), Deadline(context(milliseconds=100)):
        unlucky()


@pytest.mark.parametrize("milliseconds", [29_000, 100])
def test_work_that_ends_in_time_leaves_no_alarm_behind(milliseconds: int) -> None:
    handler, (_, interval) = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)

    with Deadline(context(milliseconds=milliseconds)):
        during = signal.getitimer(signal.ITIMER_REAL)[0]

    assert 0 < during <= (26 if milliseconds == 29_000 else 0.05)
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL)[1] == interval


def test_an_answer_that_trickles_in_is_a_503_and_its_connection_is_not_used_again(
    index: Index, fault_proxy: FaultProxy
) -> None:
    @operation(answers={200: None})
    def handler(_: Request) -> Answer:
        """Read one thing."""
        found = index.get("layout")
        return Answer(200, found and found.source)

    index.create("layout", {"name": "layout"})
    fault_proxy.drip(0.05)

    late = handler(EVENT, context(milliseconds=400))

    problem = json.loads(late["body"])
    assert (late["statusCode"], problem["type"]) == (503, "urn:byob:out-of-time")
    assert int(late["headers"]["Retry-After"]) > 0
    left = opensearch.client().transport.get_connection().pool.pool
    assert [one.sock for one in left.queue if one] in ([], [None])
    fault_proxy.forward()
    before = fault_proxy.requests
    answered = handler(EVENT, context(milliseconds=29_000))
    assert (answered["statusCode"], json.loads(answered["body"])["name"]) == (200, "layout")
    assert fault_proxy.requests - before == 1


def test_a_task_that_runs_out_of_time_fails_and_says_so(
    silent: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    @task(correlation_id=lambda _: "4f1c")
    def handler(_event: Any, _context: Any) -> dict[str, Any]:
        """Wait for ever."""
        return {"received": silent.recv(1)}

    with pytest.raises(OutOfTimeError):
        handler({}, context(milliseconds=100))
    assert caplog.messages == ["run failed"]
