"""The process in which main_task runs: loads task.py once, then answers one request after the other."""

import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_DEFAULT_TIMEOUT_SECONDS = 300
_LOOK_SECONDS = 0.5
_SENTENCE_CHARACTERS = 10_000  # some exceptions carry what they could not read


def main() -> None:
    """Serve requests on the pipe whose number is the first argument; the others are the bot's own."""
    pipe = int(sys.argv[1])
    os.set_inheritable(pipe, False)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with suppress(OSError):  # Linux: where memory runs out, this process goes, and not the worker that has to say so
        Path("/proc/self/oom_score_adj").write_text("1000")
    connection = Connection(pipe)
    sys.argv[:] = ["task.py", *sys.argv[2:]]
    try:
        task = importlib.import_module("task")
        main_task = task.main_task
    except BaseException as error:  # noqa: BLE001  # the author's code: sys.exit() at its top is a failure, too
        traceback.print_exc()
        _send(connection, {"failed": f"{type(error).__name__}: {error}"})
        sys.exit(1)
    _send(connection, {"timeout_seconds": float(getattr(task, "TIMEOUT_SECONDS", _DEFAULT_TIMEOUT_SECONDS))})
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        _send(connection, _answer(main_task, **request))


def _answer(main_task: Any, *, file: str, result: str) -> dict[str, str]:
    try:
        returned = main_task(file)
    except BaseException as error:  # noqa: BLE001  # one file's failure, whatever it is
        traceback.print_exc()
        return {"code": _code_of(error), "sentence": str(error)[:_SENTENCE_CHARACTERS] or type(error).__name__}
    try:
        content = json.dumps(returned, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return {"code": "NotJson", "sentence": f"what main_task returned cannot be written as JSON: {error}"}
    try:
        Path(result).write_bytes(content)
    except OSError as error:
        return {"code": type(error).__name__, "sentence": f"the result cannot be kept: {error.strerror}"}
    return {}


def _code_of(error: BaseException) -> str:
    response = getattr(error, "response", None)  # botocore's ClientError: the service's code tells more than the class
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(code or type(error).__name__)


def _send(connection: Connection, answer: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # the worker has gone, and this process goes with it
        connection.send_bytes(json.dumps(answer).encode())


def _end_with(worker: int) -> None:
    while os.getppid() == worker:
        time.sleep(_LOOK_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
