"""Callers that all ask at once, each again as soon as it is answered, over connections that stay open.

`python -m benchmarks.callers COUNT SECONDS < TURN` repeats a turn, a JSON list of [method, URL, body or null], and
prints {"turns", "seconds", "errors", "p50_ms", "p99_ms"}: turns that ended well, the time of one of them. A turn is an
error where an answer is not 200, or there is none.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import urlsplit

_TIMEOUT_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a turn."""

    method: str
    host: str
    path: str
    body: bytes | None


@dataclass(slots=True)
class Told:
    """What a caller has to tell: seconds of each turn that ended well, and how many did not."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0


def call(turn: Sequence[Request], until: float) -> Told:
    """Repeat a turn until a moment on the monotonic clock."""
    connections = {request.host: HTTPConnection(request.host, timeout=_TIMEOUT_SECONDS) for request in turn}
    told = Told()
    while (begun := time.monotonic()) < until:
        if all(_is_answered(connections[request.host], request) for request in turn):
            told.seconds.append(time.monotonic() - begun)
        else:
            told.errors += 1
    for connection in connections.values():
        connection.close()
    return told


def _is_answered(connection: HTTPConnection, request: Request) -> bool:
    try:
        connection.request(request.method, request.path, request.body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, HTTPException):
        connection.close()
        return False
    return answer.status == 200


def _read(method: str, url: str, body: object) -> Request:
    parts = urlsplit(url)
    return Request(method, parts.netloc, parts.path, None if body is None else json.dumps(body).encode())


def _main() -> None:
    count, seconds = int(sys.argv[1]), float(sys.argv[2])
    turn = [_read(*request) for request in json.load(sys.stdin)]
    begun = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        told = list(pool.map(lambda _: call(turn, begun + seconds), range(count)))
    took = time.monotonic() - begun
    times = sorted(one * 1e3 for each in told for one in each.seconds) or [0.0]
    print(
        json.dumps(
            {
                "turns": sum(len(each.seconds) for each in told),
                "seconds": took,
                "errors": sum(each.errors for each in told),
                "p50_ms": statistics.median(times),
                "p99_ms": times[int(len(times) * 0.99)],
            }
        )
    )


if __name__ == "__main__":
    _main()
