"""One execution environment: what a process of its own does to run one function, one event at a time, as Lambda does.

It is forked from a server that has loaded what the product stands on (`PRELOADED`) and nothing of the product itself.
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
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

SOURCE: Final = Path(__file__).resolve().parent.parent / "src"
#: Loading these takes most of a start, and they do not change while local mode runs.
PRELOADED: Final = (
    "aws_lambda_powertools.event_handler",
    "aws_lambda_powertools.utilities.data_classes",
    "boto3.s3.inject",
    "local.environment",
    "opensearchpy.helpers",
    "pydantic.functional_validators",
    "pydantic.json_schema",
    "pydantic.types",
    "requests_aws4auth",
)
#: Of the variables of whoever started local mode, what a program needs on any machine.
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


def begin(variables: Mapping[str, str], output: int) -> None:
    """Set up an environment: its variables, its log, the path of the source, and an end with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent ends its environments
    os.dup2(output, 1)
    os.close(output)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    os.environ.clear()
    os.environ.update({**kept, **variables})
    # As in Lambda: what a function prints is in its log at once, a line at a time.
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)
    # Lambda's own handler, for what libraries have to say; Lambda puts ApplicationLogLevel into this variable.
    level = variables.get("AWS_LAMBDA_LOG_LEVEL", "WARNING")
    logging.basicConfig(stream=sys.stdout, level=level, format="[%(levelname)s]\t%(asctime)s\t%(name)s\t%(message)s")
    sys.path.insert(0, str(SOURCE))
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def run(handler: str, event: Mapping[str, Any], timeout_seconds: float) -> Any:
    """Run `module.name` on an event; give what it returns, or raise what it raises."""
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


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(0)
