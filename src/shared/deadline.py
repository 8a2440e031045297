"""The time that an invocation has: what still runs shortly before its end is broken off, so that the caller is told.

A connection's timeout bounds the pause between two parts of an answer, not the whole, so an answer that trickles in
outlasts it. A signal bounds whatever the work is doing: Python raises it as an exception in the main thread, in which
Lambda runs handlers, out of a read that blocks as well. What was being read then is closed, never used again.
"""

import signal
from types import TracebackType
from typing import Any, Final, NoReturn

from shared.errors import OutOfTimeError

# API Gateway's 29 s begin before a cold start, those of the function after it.
_MARGIN_SECONDS: Final = 3.0
# Raised anew until the work has ended, in case that a finaliser, whose exceptions Python drops, met the first.
_AGAIN_SECONDS: Final = 0.5


class _TimeIsUp(BaseException):
    """Raised wherever the work is by then; no Exception, as our libraries try again after every Exception."""


class Deadline:
    """A context that raises OutOfTimeError in work that still goes on 3 s before Lambda ends the invocation.

    Where less than 6 s are left at the beginning, half of them are the work's. In the main thread alone. A class, and
    few calls, as every request pays for it: 3 µs, measured on Python 3.11.
    """

    __slots__ = ("_handler_before", "_seconds", "_timer_before")

    def __init__(self, context: Any) -> None:
        """Take the time from Lambda's context object."""
        left_seconds = context.get_remaining_time_in_millis() / 1000
        self._seconds = max(left_seconds - _MARGIN_SECONDS, left_seconds / 2, 0.001)  # 0 would mean no end

    def __enter__(self) -> None:
        """Set the alarm."""
        self._handler_before = signal.getsignal(signal.SIGALRM)
        if self._handler_before is not _break_off:
            signal.signal(signal.SIGALRM, _break_off)
        self._timer_before = signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN_SECONDS)

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        """Take the alarm back, and give whoever had one before us theirs."""
        try:
            self._end()
        except _TimeIsUp as late:  # in the very moment when the work ended
            self._end()
            error = late
        if isinstance(error, _TimeIsUp):
            raise OutOfTimeError from error

    def _end(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, *self._timer_before)
        if self._handler_before not in (_break_off, signal.SIG_DFL):
            signal.signal(signal.SIGALRM, self._handler_before)


def _break_off(*_: Any) -> NoReturn:
    raise _TimeIsUp
