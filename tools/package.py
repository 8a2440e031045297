"""Makes the functions' package: the pinned wheels for Lambda's Python and architecture, and src/, compiled.

`sam build` asks for it once a function (src/Makefile), for all at the same time. All functions ship the same package,
so it is made once for an architecture and linked into each; anew where lock file, source or this file have changed.
"""

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from filelock import FileLock

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "src"
REQUIREMENTS: Final = SOURCE / "requirements.txt"
MADE: Final = ROOT / ".aws-sam" / "packages"  # `sam build` empties .aws-sam/build alone

#: Of the runtime python3.13; bytecode of another minor version would be ignored.
PYTHON: Final = "3.13"
#: Lambda's names, and the wheels that run there: python3.13 is on Amazon Linux 2023, whose glibc is 2.34 (AWS Lambda
#: developer guide, "Lambda runtimes"; Amazon Linux 2023 user guide, "glibc").
PLATFORMS: Final = {"x86_64": "x86_64-manylinux_2_34", "arm64": "aarch64-manylinux_2_34"}

#: 30.7 MB (x86_64) and 30.4 MB (arm64) were measured; a quarter more lets dependencies grow by themselves. What comes
#: on top makes every cold start slower, so somebody should want it. Lambda's own limit is 250 MB.
MAX_UNPACKED_BYTES: Final = 38_000_000
LAMBDA_LIMIT_MB: Final = 250

_DROPPED_FOLDERS: Final = ("bin", "boto3/data", "boto3/examples")  # commands, resources and texts that nothing calls
_DROPPED_FILES: Final = ("test.py", "testing.py", "tests.py", "conftest.py", "py.typed", ".lock")
_DROPPED_ENDINGS: Final = (".pyi", ".pxd", ".c", ".h", ".rst")
# METADATA and licences stay: scanners of deployed functions, Amazon Inspector's for one, read the versions there.
_DROPPED_RECORDS: Final = ("INSTALLER", "RECORD", "REQUESTED", "WHEEL", "entry_points.txt", "top_level.txt")
_NOT_SHIPPED: Final = ("Makefile", "requirements.txt", "__pycache__")
# Where pyenv keeps what its `python3.13` finds only after `pyenv global`.
_PYENV: Final = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"


class PackageError(RuntimeError):
    """Raised when the package cannot be made or must not ship; says what to do."""


def package(architecture: str) -> Path:
    """Make the package for `architecture` (x86_64 or arm64) where it is not there as wanted; give its folder.

    Processes that ask at once wait for one another. Raises PackageError.
    """
    MADE.mkdir(parents=True, exist_ok=True)
    with FileLock(MADE / f"{architecture}.lock"):
        return _Package(architecture).made()


def services(source: Path = SOURCE) -> frozenset[str]:
    """Give the AWS services for which the source makes clients, read from its `….client("…")` calls.

    Raises PackageError for a use of boto3 from which the service cannot be read: its data would not ship.
    """
    found: set[str] = set()
    for file in sorted(source.rglob("*.py")):
        sessions: set[ast.expr] = set()  # that name the service in what they are asked for
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value, "client"), args=[ast.Constant(str(service)), *_]):
                    found.add(service)
                    sessions.add(value)
                case ast.Call(func=ast.Attribute(ast.Name("boto3"))) | ast.ImportFrom(module="boto3"):
                    if node in sessions:
                        continue
                    raise PackageError(
                        f'{file}:{node.lineno}: name the service, as in boto3.client("s3"), to ship its data'
                    )
    return frozenset(found)


def size_bytes(folder: Path) -> int:
    """Give the size of all files, as Lambda counts it once they are unpacked."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def interpreter() -> Path:
    """Find a real Python of Lambda's version on this machine, or have uv install one; raise PackageError."""
    found = _find_python()
    if not found:
        print(f"no Python {PYTHON} on this machine, which compiles for Lambda; uv installs one", flush=True)
        subprocess.run([_uv(), "python", "install", "--quiet", "--no-bin", PYTHON], check=False)
        found = _find_python()
    if not found:
        raise PackageError(
            f"Python {PYTHON} compiles the package for Lambda; it is not on this machine and cannot be fetched; "
            f"install it so that `python{PYTHON}` is on the PATH (with pyenv: pyenv install {PYTHON}), then try again"
        )
    return Path(found)


class _Package:
    """The folders of one architecture: dependencies alone, which change seldom, and with the source."""

    def __init__(self, architecture: str) -> None:
        self._architecture = architecture
        self._home = MADE / architecture
        recipe = (Path(__file__).read_bytes(), REQUIREMENTS.read_bytes(), repr(sorted(services())).encode())
        self._recipe = _digest(recipe)
        source = (part for file in _shipped(SOURCE) for part in (str(file).encode(), (SOURCE / file).read_bytes()))
        self._whole = _digest((self._recipe.encode(), *source))

    def made(self) -> Path:
        """Make what has changed."""
        whole = self._home / "whole"
        if not _is_current(whole, self._whole):
            python = interpreter()
            dependencies = self._dependencies(python)
            with tempfile.TemporaryDirectory(dir=MADE) as scratch:
                making = Path(scratch) / "whole"
                link(dependencies, making)
                for file in _shipped(SOURCE):
                    (making / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(SOURCE / file, making / file)
                _compile(python, making, [making / top for top in {file.parts[0] for file in _shipped(SOURCE)}])
                self._refuse_if_too_large(making)
                _put(making, whole, self._whole)
        return whole

    def _dependencies(self, python: Path) -> Path:
        dependencies = self._home / "dependencies"
        if not _is_current(dependencies, self._recipe):
            self._say("fetching wheels")
            with tempfile.TemporaryDirectory(dir=MADE) as scratch:
                making = Path(scratch) / "dependencies"
                self._install(making)
                _strip(making, services())
                self._say("compiling")
                _compile(python, making, [making])
                _put(making, dependencies, self._recipe)
        return dependencies

    def _install(self, folder: Path) -> None:
        done = subprocess.run(
            [
                *(_uv(), "pip", "install", "--quiet", "--target", str(folder), "--requirement", str(REQUIREMENTS)),
                *("--python-platform", PLATFORMS[self._architecture], "--python-version", PYTHON),
                *("--only-binary", ":all:", "--require-hashes", "--no-deps"),
                # A link into uv's cache would be one file with it, also for whoever edits it here.
                *("--link-mode", "copy"),
            ],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise PackageError(f"the wheels for {self._architecture} cannot be had:\n{done.stderr.strip()}")

    def _refuse_if_too_large(self, folder: Path) -> None:
        size = size_bytes(folder)
        if size > MAX_UNPACKED_BYTES:
            raise PackageError(
                f"the package for {self._architecture} has {size / 1e6:.1f} MB unpacked, more than the bound of "
                f"{MAX_UNPACKED_BYTES / 1e6:.1f} MB; see which dependency grew, or raise the bound in tools/package.py"
            )

    def _say(self, what: str) -> None:
        # On standard output: `sam build` shows that line by line, and standard error only after a failure.
        print(f"package for {self._architecture}: {what}", flush=True)


def link(folder: Path, target: Path) -> None:
    """Put the files of `folder` into `target` as hard links, or as copies where the file system has none."""
    shutil.copytree(folder, target, copy_function=_link, dirs_exist_ok=True)


def _link(file: str, target: str) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _shipped(source: Path) -> list[Path]:
    """Give the files of the source that ship, relative to it."""
    files = (file.relative_to(source) for file in source.rglob("*") if file.is_file())
    return sorted(file for file in files if not set(file.parts) & set(_NOT_SHIPPED))


def _strip(folder: Path, wanted: frozenset[str]) -> None:
    """Remove what no function reads: tests, stubs, commands, and botocore's data of other services."""
    for name in _DROPPED_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for tests in [path for path in folder.rglob("*") if path.name in ("test", "tests") and path.is_dir()]:
        shutil.rmtree(tests)
    for service in (folder / "botocore" / "data").iterdir():
        if service.is_dir() and service.name not in wanted:
            shutil.rmtree(service)
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        record = file.parent.suffix == ".dist-info" and file.name in _DROPPED_RECORDS
        example = file.name.startswith("examples-") and "data" in file.parts
        test = file.name in _DROPPED_FILES or (file.name.startswith("test_") and file.suffix == ".py")
        if record or example or test or file.suffix in _DROPPED_ENDINGS:
            file.unlink()


def _compile(python: Path, package: Path, folders: Iterable[Path]) -> None:
    # unchecked-hash: files get new times on their way through a zip, by which every .pyc would be taken for stale.
    # /var/task: where Lambda unpacks; with a path of this machine in it, each build would be another package.
    options = ("-q", "-f", "-j", "0", "--invalidation-mode", "unchecked-hash", "-s", str(package), "-p", "/var/task")
    done = subprocess.run(
        [str(python), "-I", "-m", "compileall", *options, *map(str, folders)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PackageError(f"Python {PYTHON} cannot compile the package:\n{done.stdout.strip()}")


def _find_python() -> str:
    path = os.pathsep.join([os.environ["PATH"], *sorted(str(bin) for bin in _PYENV.glob(f"{PYTHON}.*/bin"))])
    command = [_uv(), "python", "find", "--no-project", f"cpython@{PYTHON}"]
    found = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    return found.stdout.strip()


def _uv() -> str:
    return str(Path(sys.executable).with_name("uv"))


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


def _is_current(folder: Path, digest: str) -> bool:
    stamp = folder.with_suffix(".digest")
    return stamp.exists() and stamp.read_text() == digest


def _put(made: Path, place: Path, digest: str) -> None:
    """Move a finished folder to its place; the digest beside it appears last, whatever interrupts this."""
    stamp = place.with_suffix(".digest")
    stamp.unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    made.rename(place)
    stamp.write_text(digest)


def main() -> None:
    """Make the package; into a function's folder without a word, otherwise say how large it is."""
    parser = argparse.ArgumentParser(prog="package.py", description="Make the package that all functions ship.")
    parser.add_argument("architecture", choices=PLATFORMS)
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="put it there, as sam build asks for it")
    arguments = parser.parse_args()
    os.umask(0o022)  # Lambda reads the files as another user
    try:
        made = package(arguments.architecture)
    except PackageError as error:
        sys.exit(f"error: {error}")
    if arguments.into:
        link(made, arguments.into)
        return
    print(
        f"package for {arguments.architecture}: {size_bytes(made) / 1e6:.1f} MB unpacked "
        f"(bound {MAX_UNPACKED_BYTES / 1e6:.0f} MB; Lambda's limit is {LAMBDA_LIMIT_MB} MB)"
    )


if __name__ == "__main__":
    main()
