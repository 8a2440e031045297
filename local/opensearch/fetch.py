"""How jars come from the Maven repository: through jgo, in sight of the person who waits."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from jgo.maven import MavenContext, ProfileConstraints, PythonResolver
from jgo.parse import Endpoint
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from local.opensearch.errors import NodeError
from local.opensearch.jars import RECORD, Jar, sha256_of

REQUEST_TIMEOUT_SECONDS: Final = 60
PLAIN_LINE_EVERY_SECONDS: Final = 3.0


def fetch(jars: Sequence[Jar], folder: Path) -> None:
    """Bring the jars into `folder`, where each appears whole and with its recorded hash, or not at all.

    What has been fetched stays when a later jar fails, so the next call goes on from there. One caller at a time.
    Raises NodeError for a jar that cannot be had or is not the recorded one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # jgo writes straight to a file's final name and would take one cut short for whole: hence a repository of its own.
    incoming = folder.with_name("incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    sight = _Sight(len(jars))
    context = MavenContext(
        PythonResolver(progress_callback=sight.download), repo_cache=incoming, timeout=REQUEST_TIMEOUT_SECONDS
    )
    with sight.bar:
        for jar in jars:
            try:
                file = context.create_dependency(jar.coordinate).artifact.resolve()
            except (OSError, RuntimeError) as error:
                raise NodeError(f"cannot fetch {jar.coordinate} ({error}); start again to go on from there") from error
            if sha256_of(file) != jar.sha256:
                raise NodeError(f"refusing {jar.name}: its SHA-256 is not the one recorded in {RECORD}")
            file.replace(folder / jar.name)
    shutil.rmtree(incoming, ignore_errors=True)


def resolve(endpoints: Sequence[str], plugin: str, repository: Path) -> list[Jar]:
    """Resolve each endpoint (coordinates joined by +) with all that it needs into `repository`; give every jar.

    The `plugin` is its zip alone.
    """
    # One platform for everybody: else a Maven profile could make the record depend on who writes it.
    platform = ProfileConstraints(os_name="Linux", os_family="unix", os_arch="amd64")
    context = MavenContext(PythonResolver(platform), repo_cache=repository, timeout=REQUEST_TIMEOUT_SECONDS)

    def jar(file: Path) -> Jar:
        return Jar(PurePosixPath(file.relative_to(repository)), sha256_of(file))

    jars = {jar(context.create_dependency(plugin).artifact.resolve())}
    for endpoint in endpoints:
        wanted = [context.create_dependency(replace(c, scope="compile")) for c in Endpoint.parse(endpoint).coordinates]
        inputs, transitive = context.resolver.resolve(wanted)
        for dependency in [*inputs, *(found for found in transitive if found.scope in ("compile", "runtime"))]:
            jars.add(jar(dependency.artifact.resolve()))
    return sorted(jars, key=lambda jar: jar.path)


class _Sight:
    """What a person sees of the fetching, on stderr: a bar on a terminal, elsewhere a line every few seconds."""

    def __init__(self, jars: int) -> None:
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self.bar.add_task("fetching OpenSearch, once", total=jars, now="")
        self._size_bytes = 0
        self._next_line = time.monotonic()

    @contextmanager
    def download(self, name: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        """Watch one download; jgo calls what is given with the size of each piece."""

        def advance(piece_bytes: int) -> None:
            self._size_bytes += piece_bytes
            self._show(name)

        yield advance
        self.bar.advance(self._task)

    def _show(self, name: str) -> None:
        now = f"{self._size_bytes / 1e6:.1f} MB, {name}"
        self.bar.update(self._task, now=now)
        if self.bar.disable and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + PLAIN_LINE_EVERY_SECONDS
            task = self.bar.tasks[self._task]
            line = f"{task.description}: {task.completed:.0f} of {task.total:.0f} jars, {now}"
            print(line, file=sys.stderr, flush=True)
