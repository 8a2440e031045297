"""Endpoints under chaos: whatever happens to one, and in whatever order, it ends as was wanted last."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from shared.log import logger
from tests.histories import HISTORIES, History
from tests.torture.conftest import Torture


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The loop runs in this process here, and tells of every look."""
    level = logger.log_level
    logger.setLevel("CRITICAL")
    yield
    logger.setLevel(level)


def test_every_history_of_an_endpoint_ends_as_wanted(torture: Torture) -> None:
    count, number = torture.size(2000, short=100), random.SystemRandom().randrange(10**6)
    diverged: list[str] = []
    lived = 0

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(HISTORIES)
    def live(history: History) -> None:
        nonlocal lived
        lived += 1
        try:
            history.end_as_wanted()
        except AssertionError as error:
            diverged.append(f"{history}: {error}")
        torture.progress("histories", lived, count)

    live()

    torture.report(
        "endpoint_chaos",
        lived - len(diverged),
        "histories converged",
        goal=f"all of {count:,}",
        holds=lived == count and not diverged,
        note=f"{lived:,} generated with seed {number}{'; first that did not: ' + diverged[0] if diverged else ''}",
    )
