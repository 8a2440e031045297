"""AWS's own APIs for a benchmark, in a process of their own: `python -m benchmarks.aws` prints where they answer.

SageMaker is local mode's. Lambda takes what it is handed and runs nothing, so that what is triggered stays out of the
time of what triggers it.
"""

import signal
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from local.aws import EmulatedAws
from local.workers import Workers


class _Idle(Workers):
    def __init__(self) -> None:
        super().__init__({}, 0)

    def submit(self, handler: str, event: Mapping[str, Any]) -> "Future[Any]":  # noqa: ARG002 - nothing is run
        done: Future[Any] = Future()
        done.set_result(None)
        return done


if __name__ == "__main__":
    aws = EmulatedAws(moving_seconds=0)
    aws.start(_Idle())
    print(aws.url, flush=True)
    signal.pause()
