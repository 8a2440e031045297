"""Becomes a program that ends with whoever started it: `python -I -S leash.py SIGNAL PARENT PROGRAM…`.

Run as a script, in a process of its own. Linux tells a process of its parent's death only where it asked to be told
(prctl(2), PR_SET_PDEATHSIG; kept over exec); elsewhere this is a plain exec, and the stack's own end has to do.
"""

import ctypes
import os
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def _become(signal_number: int, parent: int, program: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:  # it died before it could be watched
            sys.exit(1)
    os.environ.pop("LC_CTYPE", None)  # set by this very interpreter where there is no locale (PEP 538)
    os.execvp(program[0], program)  # noqa: S606 - that it is no shell is the point


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
