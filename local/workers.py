"""Execution environments: processes that run the real handlers, one function and one event at a time each.

As in Lambda, each function has environments of its own, made when an event finds none idle: with its role's keys, and
the variables that the template gives it. They are forked, so that a stack of many functions starts at once.
"""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, Final

from local import environment, identities, template

SOURCE: Final = environment.SOURCE
_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(list(environment.PRELOADED))


class Workers:
    """The environments of all functions; they are made anew when the source has changed, so edits need no restart.

    `variables`: what a deployment decides, of which each function is given what the template names for it, and what
    Lambda itself sets (AWS_…). `extra` is given to all. `count`: environments of one function at most.
    `timeout_seconds`: what the context tells every function of its time, None for what the template gives it.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        count: int,
        *,
        extra: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        self._variables = dict(variables)
        self._extra = dict(extra or {})
        self._count = count
        self._timeout_seconds = timeout_seconds
        self._output = _Output()
        self._lock = threading.Lock()
        self._seen: object = None
        self._pools: dict[str, ProcessPoolExecutor] = {}

    def submit(self, handler: str, event: Mapping[str, Any]) -> "Future[Any]":
        """Run `module.name` on an event; the future holds what the handler returns or raises."""
        function = template.handlers()[handler]
        timeout_seconds = self._timeout_seconds or function.timeout_seconds
        with self._lock:
            pool = self._current_pool(function)
            try:
                return pool.submit(environment.run, handler, event, timeout_seconds)
            except BrokenProcessPool:  # an environment died, as one that runs out of memory does in Lambda
                del self._pools[function.id]
                return self._current_pool(function).submit(environment.run, handler, event, timeout_seconds)

    def stop(self) -> None:
        """End all environments; events under way are finished."""
        with self._lock:
            ending = [
                threading.Thread(target=pool.shutdown, kwargs={"cancel_futures": True}) for pool in self._pools.values()
            ]
            for thread in ending:
                thread.start()
            for thread in ending:
                thread.join()
            self._pools.clear()

    def _current_pool(self, function: template.Function) -> ProcessPoolExecutor:
        seen = sorted(_sources(SOURCE))
        if seen != self._seen:
            for pool in self._pools.values():
                pool.shutdown(wait=False)  # what it has begun it finishes, with the source as it was
            self._pools.clear()
            self._seen = seen
        if function.id not in self._pools:
            output: Any = self._output  # a descriptor, once it has reached the process
            self._pools[function.id] = ProcessPoolExecutor(
                self._count,
                mp_context=_FORKS,
                initializer=environment.begin,
                initargs=({**given(function, self._variables), **self._extra}, output),
            )
        return self._pools[function.id]


def given(function: template.Function, variables: Mapping[str, str]) -> dict[str, str]:
    """Choose what a function is given: what the template names for it, what Lambda itself sets, its role's keys."""
    named = {name: value for name, value in variables.items() if name in function.environment or name[:4] == "AWS_"}
    told = {"AWS_EXECUTION_ENV": "AWS_Lambda_python3.13", "AWS_LAMBDA_FUNCTION_NAME": function.id}
    return {**named, **told, **identities.keys_of(function.role)}


class _Output:
    """Standard output as it is now: the fork server has the one of its own start."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)

    def __del__(self) -> None:
        os.close(self._descriptor)

    def __reduce__(self) -> Any:
        """Reach a new process as a descriptor of its own."""
        return _detach, (DupFd(self._descriptor),)


def _detach(duplicate: Any) -> int:
    descriptor: int = duplicate.detach()
    return descriptor


def _sources(folder: str | Path) -> Iterator[tuple[str, int]]:
    """Give the source files under a folder with the times of their last change, in a quarter of rglob's time."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield entry.path, entry.stat().st_mtime_ns
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _sources(entry.path)
