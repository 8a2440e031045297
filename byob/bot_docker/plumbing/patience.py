"""Pauses between attempts: growing, so that what is overloaded recovers, and random, so that workers part."""

import random
import time
from collections.abc import Iterator

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 20.0


def pauses(limit_seconds: float) -> Iterator[float]:
    """Give the seconds to wait after each failed attempt; it ends when the limit has passed, after one at least."""
    deadline = time.monotonic() + limit_seconds
    ceiling = _FIRST_SECONDS
    while True:
        left = deadline - time.monotonic()
        yield max(0.0, min(random.uniform(ceiling / 2, ceiling), left))  # noqa: S311  # no secret hangs on it
        if left <= 0:
            return
        ceiling = min(ceiling * 2, _LONGEST_SECONDS)
