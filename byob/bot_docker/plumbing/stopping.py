"""What happens after SIGTERM, which AWS Batch sends before it takes a Spot machine back or ends a job.

Nothing new is begun. The file that is being worked on may finish within the grace; then `Interrupted` is raised
wherever the worker is, and the file is given back. AWS Batch kills 30 s after SIGTERM unless told otherwise.
"""

import signal
from types import FrameType

from plumbing.errors import Interrupted

_RELEASE_SECONDS = 8


class Stop:
    """Listens for SIGTERM (and Ctrl-C) from its making on; in the main thread."""

    def __init__(self, grace_seconds: float) -> None:
        self.requested = False
        self._grace_seconds = grace_seconds
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._begin)
        signal.signal(signal.SIGALRM, self._interrupt)

    def leave_time_to_release(self) -> None:
        """Start the clock anew: giving a file back must not be interrupted by what made it necessary."""
        if self.requested:
            signal.setitimer(signal.ITIMER_REAL, _RELEASE_SECONDS)

    def _begin(self, _signal: int, _frame: FrameType | None) -> None:
        if not self.requested:
            self.requested = True
            signal.setitimer(signal.ITIMER_REAL, max(self._grace_seconds, 0.001))

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        raise Interrupted
