"""A server in a process of its own, so that it does not share the interpreter of what is measured."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from local.template import ROOT


@contextmanager
def serving(module: str, *arguments: str) -> Iterator[str]:
    """Run `python -m module` as long as it is needed; give the URL that it prints first."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
