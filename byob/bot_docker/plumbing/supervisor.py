"""main_task in a process of its own, from outside: whatever that process does, the worker goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from plumbing.errors import FileError, PermanentError

_HOME = Path(__file__).resolve().parent.parent
_LOAD_SECONDS = 900
_LOOK_SECONDS = 1.0  # a process that the bot has left behind may hold the pipe open; the bot's end shows then


class Bot:
    """Runs main_task for one file after the other; started when needed, and again after it has ended."""

    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._timeout_seconds = 0.0

    def start(self) -> None:
        """Have the bot loaded; raise PermanentError where task.py does not load."""
        if self._process and self._process.poll() is None:
            return
        self.stop()
        self._connection, theirs = Pipe()
        path = os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(  # noqa: S603  # our own module, on this very interpreter
            # -u: what main_task prints is not lost with a process that is killed.
            [sys.executable, "-u", "-m", "plumbing.child", str(theirs.fileno()), *self._arguments],
            env={**os.environ, "PYTHONPATH": path},
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # a group of its own, so that what it has started ends with it
        )
        theirs.close()
        try:
            answer = self._receive(_LOAD_SECONDS)
        except TimeoutError as error:
            self.stop()
            raise PermanentError(f"task.py cannot be loaded: it took longer than {_LOAD_SECONDS} s") from error
        except EOFError as error:
            raise PermanentError(f"task.py cannot be loaded: its process ended: {self._ending()}") from error
        if "failed" in answer:
            self.stop()
            raise PermanentError(f"task.py cannot be loaded: {answer['failed']}")
        self._timeout_seconds = answer["timeout_seconds"]

    def run(self, file: Path, result: Path) -> None:
        """Call main_task for `file` and have what it returns written to `result`; raise FileError where it fails."""
        self.start()
        assert self._connection is not None  # noqa: S101  # start has made it
        try:
            self._connection.send_bytes(json.dumps({"file": str(file), "result": str(result)}).encode())
            answer = self._receive(self._timeout_seconds)
        except TimeoutError as error:
            self.stop()
            sentence = f"main_task took longer than {self._timeout_seconds:g} s (TIMEOUT_SECONDS in task.py)"
            raise FileError("Timeout", sentence) from error
        except (EOFError, BrokenPipeError) as error:
            raise FileError("ProcessEnded", f"main_task ended its process: {self._ending()}") from error
        if "code" in answer:
            raise FileError(answer["code"], answer["sentence"])

    def stop(self) -> None:
        """End the process and all that it has started."""
        if self._process:
            with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, where all have ended
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._connection:
            self._connection.close()
            self._connection = None

    def _receive(self, limit_seconds: float) -> Any:
        """Wait for an answer; raise TimeoutError where the time is up, EOFError where the process has ended."""
        assert self._connection is not None  # noqa: S101
        assert self._process is not None  # noqa: S101
        deadline = time.monotonic() + limit_seconds
        while True:
            ended = self._process.poll() is not None
            left = max(deadline - time.monotonic(), 0)
            try:
                if self._connection.poll(0 if ended else min(left, _LOOK_SECONDS)):
                    return json.loads(self._connection.recv_bytes())
            except ConnectionResetError as error:
                raise EOFError from error
            if ended:
                raise EOFError
            if not left:
                raise TimeoutError

    def _ending(self) -> str:
        """Tell how the process ended, and end what it has left behind."""
        assert self._process is not None  # noqa: S101
        try:
            code = self._process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            code = None  # it has closed the pipe and lives on
        self.stop()
        if code is None:
            return "it closed the pipe to the worker"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"{name}{' (out of memory?)' if -code == signal.SIGKILL else ''}"
