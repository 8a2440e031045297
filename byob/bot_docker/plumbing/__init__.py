"""Runs main_task over the files of one slice of a job; task.py needs `invoke_endpoint` and `start` of it alone."""

from typing import NoReturn

from plumbing.endpoint import invoke_endpoint

__all__ = ["invoke_endpoint", "start"]


def start() -> NoReturn:
    """Work on the slice that the environment names, then exit: 0 done, 75 to be tried again, 1 in vain."""
    # Here, and not above: the process that runs main_task needs nothing of it.
    from plumbing.worker import start as start_worker  # noqa: PLC0415

    start_worker()
