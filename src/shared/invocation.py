"""What all invocations have in common: the keys of their log lines, and the line of metrics that ends each."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from shared import metrics
from shared.deadline import Deadline
from shared.log import logger

Event = Mapping[str, Any]

_number: Final = itertools.count()


@contextmanager
def invocation(context: Any, correlation_id: str | None) -> Iterator[dict[str, Any]]:
    """Set the keys of an invocation's log lines, and end it with a line that carries its metrics.

    Give the properties of that line beside the keys, for what becomes known meanwhile.
    """
    keys = {
        "correlation_id": correlation_id,
        "function_name": context.function_name,
        "function_request_id": context.aws_request_id,
        "cold_start": next(_number) == 0,
    }
    logger.append_keys(**keys)
    ending: dict[str, Any] = {}
    try:
        yield ending
    finally:
        metrics.flush({**keys, **ending})


def task(
    *, correlation_id: Callable[[Event], str | None]
) -> Callable[[Callable[[Event, Any], dict[str, Any]]], Callable[[Event, Any], dict[str, Any]]]:
    """Make a Lambda handler of work that nobody waits for: a failure is logged and raised, so that Lambda retries."""

    def decorate(work: Callable[[Event, Any], dict[str, Any]]) -> Callable[[Event, Any], dict[str, Any]]:
        @functools.wraps(work)
        def entrypoint(event: Event, context: Any) -> dict[str, Any]:
            with invocation(context, correlation_id(event)) as ending:
                ending["message"] = "run failed"
                try:
                    with Deadline(context):
                        result = work(event, context)
                except Exception:
                    logger.exception("run failed")
                    raise
                ending["message"] = "run ended"
                return result

        return entrypoint

    return decorate
