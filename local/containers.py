"""Containers on this machine: one attempt of a Batch job, in Docker where the image is there, else as a process.

A process stands for the container whose image nobody has built: it gets the container's environment and nothing of
ours but the PATH, its own process group, and ends with the stack, however that ends.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from local import template

#: What runs where there is no image: the kit's own bot.
KIT_PROGRAM: Final = (sys.executable, str(template.ROOT / "byob" / "bot_docker" / "task.py"))
_LEASH: Final = Path(__file__).with_name("leash.py")
_DOCKER_SECONDS: Final = 10
# docker run(1), "Exit status": the engine itself failed, as when it cannot pull.
_DOCKER_FAILED: Final = 125
_KILLED: Final = 128 + signal.SIGKILL


class Container:
    """One run of a program; `environment` is all that it is given besides the PATH."""

    def __init__(
        self,
        name: str,
        program: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        image: str | None = None,
    ) -> None:
        self._name = name
        self._image = image
        variables = {"PATH": os.environ.get("PATH", os.defpath), **environment}
        command = list(program)
        if image is not None:
            names = [part for variable in environment for part in ("--env", variable)]
            command = ["docker", "run", "--rm", "--network", "host", "--name", name, *names, image, *program]
            variables |= {key: value for key, value in os.environ.items() if key in ("HOME", "DOCKER_HOST")}
        # Docker's client hands a SIGTERM on to the container; a SIGKILL would leave that running.
        end = signal.SIGKILL if image is None else signal.SIGTERM
        leash = [sys.executable, "-I", "-S", str(_LEASH), str(int(end)), str(os.getpid())]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*leash, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=variables,
                start_new_session=True,  # Ctrl-C reaches the whole terminal; the stack ends its containers
            )

    @property
    def pid(self) -> int:
        """The process, or Docker's client."""
        return self._process.pid

    def wait(self, seconds: float | None) -> int | None:
        """Give the exit code, None where it still runs after `seconds`, -9 where the host took it away.

        Another signal n is 128 + n, as a container has it.
        """
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._kill_group()  # with its first process a container ends, whatever else runs in it
        if self._image is not None and code == _KILLED:
            return -signal.SIGKILL
        return code if code >= 0 or code == -signal.SIGKILL else 128 - code

    @property
    def engine_failed(self) -> bool:
        """Tell whether it never ran because Docker could not start it."""
        return self._image is not None and self._process.returncode == _DOCKER_FAILED

    def terminate(self) -> None:
        """Ask it to end: SIGTERM to its first process."""
        self._process.terminate()

    def kill(self) -> None:
        """End it."""
        if self._image is not None:
            with suppress(subprocess.SubprocessError, OSError):
                subprocess.run(
                    ["docker", "kill", self._name], check=False, capture_output=True, timeout=_DOCKER_SECONDS
                )
        self._kill_group()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def docker_has(image: str) -> bool:
    """Tell whether a Docker engine answers and has this image; nothing is pulled that nobody asked for."""
    try:
        asked = subprocess.run(
            ["docker", "image", "inspect", "--format", "{{.Id}}", "--", image],
            check=False,
            capture_output=True,
            timeout=_DOCKER_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return asked.returncode == 0
