"""Execution environments: processes that run the real handlers, one event at a time each, as Lambda does.

Powertools' logger and the clients are made for one event at a time in a process, so threads would not do.
"""

import importlib
import io
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from local import template

SOURCE: Final = Path(__file__).resolve().parent.parent / "src"


class Workers:
    """A pool of environments; it is made anew when the source has changed, so edits need no restart.

    `timeout_seconds`: what the context tells every function of its time, None for what the template gives it.
    """

    def __init__(self, environment: Mapping[str, str], count: int, *, timeout_seconds: float | None = None) -> None:
        self._environment = dict(environment)
        self._count = count
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._seen: object = None
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, handler: str, event: Mapping[str, Any]) -> "Future[Any]":
        """Run `module.name` on an event; the future holds what the handler returns or raises."""
        timeout_seconds = self._timeout_seconds or template.timeouts()[handler]
        with self._lock:
            pool = self._current_pool()
            try:
                return pool.submit(_run, handler, event, timeout_seconds)
            except BrokenProcessPool:  # an environment died, as one that runs out of memory does in Lambda
                self._pool = None
                return self._current_pool().submit(_run, handler, event, timeout_seconds)

    def warm_up(self, handlers: list[str]) -> None:
        """Load these handlers in every environment before the first caller waits for it."""
        with self._lock:
            pool = self._current_pool()
        for future in [pool.submit(_load, handlers) for _ in range(self._count)]:
            future.result()

    def stop(self) -> None:
        """End all environments; events under way are finished."""
        with self._lock:
            if self._pool:
                self._pool.shutdown(cancel_futures=True)
                self._pool = None

    def _current_pool(self) -> ProcessPoolExecutor:
        seen = sorted(_sources(SOURCE))
        if self._pool is None or seen != self._seen:
            if self._pool:
                self._pool.shutdown(wait=False)  # what it has begun it finishes, with the source as it was
            self._seen = seen
            self._pool = ProcessPoolExecutor(
                self._count,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._environment,),
            )
        return self._pool


def _sources(folder: str | Path) -> Iterator[tuple[str, int]]:
    """Give the source files under a folder with the times of their last change, in a quarter of rglob's time."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield entry.path, entry.stat().st_mtime_ns
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _sources(entry.path)


def _begin(environment: Mapping[str, str]) -> None:
    """Set up an environment: its variables, the path of the source, and an end with its parent, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent ends its workers
    os.environ.update(environment)
    # As in Lambda: what a function prints is in its log at once, a line at a time.
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
    # Lambda's own handler, for what libraries have to say; Lambda puts ApplicationLogLevel into this variable.
    level = environment.get("AWS_LAMBDA_LOG_LEVEL", "WARNING")
    logging.basicConfig(stream=sys.stdout, level=level, format="[%(levelname)s]\t%(asctime)s\t%(name)s\t%(message)s")
    sys.path.insert(0, str(SOURCE))
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(0)


def _load(handlers: list[str]) -> None:
    for handler in handlers:
        importlib.import_module(handler.rpartition(".")[0])


def _run(handler: str, event: Mapping[str, Any], timeout_seconds: float) -> Any:
    module, _, name = handler.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    deadline = time.monotonic() + timeout_seconds
    context = SimpleNamespace(
        function_name=module.rpartition(".")[2],
        memory_limit_in_mb=512,
        invoked_function_arn=f"arn:aws:lambda:local-1:000000000000:function:{module}",
        get_remaining_time_in_millis=lambda: int((deadline - time.monotonic()) * 1000),
        aws_request_id=str(uuid.uuid4()),
    )
    return function(event, context)
