"""Writers that all count on one bot, each on what it has read: no answer of 200 may be undone by another writer."""

import random
import time
from collections.abc import Callable
from typing import Any

from tests.support import ApiClient, at_once
from tests.torture.conftest import Torture

Make = Callable[..., dict[str, Any]]
WRITERS = 16
FIRST_MEMORY_MIB = 1024
FIRST_PAUSE_SECONDS = 0.1
MOST_MISSES = 4


class Writer:
    """Adds one so many times, and again where somebody was quicker: half of them with PUT, half with PATCH."""

    def __init__(self, api: ApiClient, configuration: dict[str, Any], number: int) -> None:
        self._api = api
        self._configuration = configuration
        self._path = f"/bots/{configuration['name']}"
        self._method = "PATCH" if number % 2 else "PUT"
        self.accepted = 0
        self.refused = 0

    def add(self, times: int, told: Callable[[], None]) -> None:
        misses = 0
        while self.accepted < times:
            seen = self._api("GET", self._path)
            added = {"bot_mem": seen.json["bot_mem"] + 1}
            body = added if self._method == "PATCH" else {**self._configuration, **added}
            status = self._api(self._method, self._path, body, {"If-Match": seen.etag}).status
            assert status in (200, 412)
            if status == 200:
                self.accepted += 1
                misses = 0
                told()
            else:
                self.refused += 1
                misses = min(misses + 1, MOST_MISSES)
                # As a caller should, further apart each time: 16 in step would mostly refuse one another.
                time.sleep(random.uniform(0, FIRST_PAUSE_SECONDS * 2**misses))


def test_every_conditional_increment_that_was_accepted_counts(
    api: ApiClient, configuration: Make, torture: Torture
) -> None:
    times = torture.size(200, short=10)
    # Endpoints that their authors run: none of these writes has one made.
    counter = configuration(bot_mem=FIRST_MEMORY_MIB, endpoint_ecr_image_path=None)
    path = f"/bots/{api.register(counter).json['name']}"
    writers = [Writer(api, counter, number) for number in range(WRITERS)]

    def so_far() -> None:
        torture.progress("increments", sum(writer.accepted for writer in writers), WRITERS * times)

    at_once(WRITERS, lambda number: writers[number].add(times, so_far))

    accepted = sum(writer.accepted for writer in writers)
    counted = api("GET", path).json["bot_mem"] - FIRST_MEMORY_MIB
    torture.report(
        "lost_updates",
        counted,
        "updates kept",
        goal="as many as answers of 200",
        holds=accepted == counted == WRITERS * times,
        note=f"{WRITERS} writers, {accepted:,} answers of 200, {sum(writer.refused for writer in writers):,} of 412",
    )
