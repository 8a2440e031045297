"""Where the local copies of files live while they are worked on."""

import os
import shutil
import tempfile
from pathlib import Path


class Scratch:
    """A directory of this process; what a killed process has left under the same name is removed when it is made."""

    def __init__(self, name: str) -> None:
        self._name = name.replace("/", "_")
        self.path = Path(tempfile.gettempdir(), f"{self._name}-{os.getpid()}")

    def make(self) -> None:
        """Make the directory, empty."""
        for left in self.path.parent.glob(f"{self._name}-*"):
            if not _is_running(left.name.rpartition("-")[2]):
                shutil.rmtree(left, ignore_errors=True)
        self.remove()
        self.path.mkdir(mode=0o700, exist_ok=True)

    def remove(self) -> None:
        """Remove the directory with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True
