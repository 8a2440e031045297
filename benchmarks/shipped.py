"""What is deployed, run in new processes: the functions' package under the Python that it is compiled for."""

import json
import platform
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local.template import ROOT
from tools.package import MADE, interpreter, package

_ARCHITECTURES: Final = {"x86_64": "x86_64", "aarch64": "arm64"}
PEER: Final = "peer"
_HERE: Final = Path(sysconfig.get_path("purelib"))


@dataclass(frozen=True, slots=True)
class FirstEvents:
    """What became of a new process: `seconds` from its start to its first answer, `status` of the last one."""

    seconds: float
    status: int
    peak_mb: float
    modules: frozenset[str]


@dataclass(frozen=True, slots=True)
class Shipped:
    """An interpreter and the folders that it finds modules in; `package` is None where none was built."""

    python: Path
    folders: Sequence[Path]
    package: Path | None

    @property
    def note(self) -> str:
        """Say what is run, where it is not the package."""
        return "" if self.package else "not of the package: none is built for this machine"

    def answer(self, function: str, events: Sequence[object], environment: Mapping[str, str]) -> FirstEvents:
        """Start a process that answers these events, or is a peer's beginning (PEER), and wait for its end."""
        command = [str(self.python), "-I", "-S", "-B", str(ROOT / "benchmarks" / "first_event.py")]
        arguments = [":".join(map(str, self.folders)), function]
        begun_ns = time.monotonic_ns()
        run = subprocess.run(  # noqa: S603
            [*command, *arguments],
            env=dict(environment),
            input=json.dumps(list(events)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
        return FirstEvents(
            seconds=(told["answered_ns"] - begun_ns) / 1e9,
            status=told["status"],
            peak_mb=told["peak_kb"] / 1024,
            modules=frozenset(told["modules"]),
        )


def shipped(*, build: bool) -> Shipped:
    """Find the package for this machine, made anew where it is not current if `build`.

    Without one, the source and the packages installed here stand in. Raises PackageError where it cannot be built.
    """
    architecture = _ARCHITECTURES.get(platform.machine()) if platform.system() == "Linux" else None
    if architecture and (build or (MADE / architecture / "whole.digest").exists()):
        made = package(architecture)
        return Shipped(interpreter(), [made], made)
    return Shipped(Path(sys.executable), [ROOT / "src", _HERE], None)
