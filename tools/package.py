"""Makes the functions' package: the pinned wheels for Lambda's Python and architecture, and src/, compiled.

`sam build` asks for it once a function (src/Makefile), for all at the same time. All functions ship the same package,
so it is made once for an architecture and linked into each; anew where lock file, source or this file have changed.
Of botocore's data only the operations that the source calls ship: a client reads all that is there when it is made.
"""

import argparse
import ast
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from botocore import xform_name
from botocore.session import Session
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

#: 27.9 MB (x86_64) and 27.6 MB (arm64) were measured; a third more lets dependencies grow by themselves. What comes
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


def operations(source: Path = SOURCE) -> dict[str, frozenset[str]]:
    """Give the operations that the source calls, by AWS service.

    A service is read from the `….client("…")` calls of a door, its operations from whatever is named like one in that
    module, as create_model for CreateModel. Raises PackageError for a client of which the service cannot be read.
    """
    session = Session()
    called: dict[str, frozenset[str]] = {}
    for file in sorted(source.rglob("*.py")):
        services, named = _named(file)
        for service in services:
            names = session.get_service_model(service).operation_names
            found = frozenset(name for name in names if xform_name(name) in named)
            called[service] = called.get(service, frozenset()) | found
    return called


def _named(file: Path) -> tuple[set[str], set[str]]:
    """Give the services of which a module makes clients, and all attributes and texts in it."""
    services: set[str] = set()
    named: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(attr="client"), args=[ast.Constant(str(service)), *_]):
                services.add(service)
            case (
                ast.Call(func=ast.Attribute(ast.Name("aws" | "boto3"), "client"))
                | ast.Attribute(ast.Name("boto3"), "resource")
                | ast.ImportFrom(module="boto3")
            ):
                raise PackageError(
                    f'{file}:{node.lineno}: name the service, as in boto3.client("s3"), to ship its data'
                )
            case ast.Attribute(attr=name) | ast.Constant(str(name)):
                named.add(name)
    return services, named


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
        self._operations = operations()
        called = {service: sorted(names) for service, names in self._operations.items()}
        recipe = (Path(__file__).read_bytes(), REQUIREMENTS.read_bytes(), json.dumps(called, sort_keys=True).encode())
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
                _strip(making)
                cut(making / "botocore" / "data", self._operations)
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


def _strip(folder: Path) -> None:
    """Remove what no function reads: tests, stubs, commands."""
    for name in _DROPPED_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for tests in [path for path in folder.rglob("*") if path.name in ("test", "tests") and path.is_dir()]:
        shutil.rmtree(tests)
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        record = file.parent.suffix == ".dist-info" and file.name in _DROPPED_RECORDS
        example = file.name.startswith("examples-") and "data" in file.parts
        test = file.name in _DROPPED_FILES or (file.name.startswith("test_") and file.suffix == ".py")
        if record or example or test or file.suffix in _DROPPED_ENDINGS:
            file.unlink()


def cut(data: Path, called: Mapping[str, Collection[str]]) -> None:
    """Leave of botocore's data what clients of these services need for these operations.

    A client reads the whole model of its service when it is made, and the endpoints of all services of AWS.
    """
    prefixes = set()
    for service in [path for path in data.iterdir() if path.is_dir()]:
        if service.name not in called:
            shutil.rmtree(service)
            continue
        *outdated, newest = sorted(service.iterdir())
        for version in outdated:
            shutil.rmtree(version)
        for packed in newest.glob("*.json.gz"):
            content = json.loads(gzip.decompress(packed.read_bytes()))
            if packed.name == "service-2.json.gz":
                content = _cut_model(content, called[service.name])
                prefixes.add(content["metadata"]["endpointPrefix"])
            packed.unlink()  # Lambda unpacks once; gzip would again in every cold start
            _write(packed.with_suffix(""), content)
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {prefix: services[prefix] for prefix in sorted(prefixes & services.keys())}
    _write(data / "endpoints.json", endpoints)


def _cut_model(model: dict[str, Any], called: Collection[str]) -> dict[str, Any]:
    """Leave operations, the shapes that they reach, and no words about either."""
    operations = {name: operation for name, operation in model["operations"].items() if name in called}
    reached: set[str] = set()
    left = list(_shapes(operations))
    while left:
        if (name := left.pop()) not in reached:
            reached.add(name)
            left += _shapes(model["shapes"][name])
    shapes = {name: shape for name, shape in model["shapes"].items() if name in reached}
    # Elsewhere in a model botocore insists on words.
    return {**model, "operations": _without_words(operations), "shapes": _without_words(shapes)}


def _shapes(node: Any) -> Iterator[str]:
    """Give the names of shapes that a part of a model refers to."""
    if isinstance(node, dict):
        if isinstance(node.get("shape"), str):
            yield node["shape"]
        node = list(node.values())
    for part in node if isinstance(node, list) else ():
        yield from _shapes(part)


def _without_words(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_words(part) for part in node]
    if not isinstance(node, dict):
        return node
    # A member may be named so too; it is a dict.
    words = isinstance(node.get("documentation"), str)
    return {key: _without_words(part) for key, part in node.items() if not (words and key == "documentation")}


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False))


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
