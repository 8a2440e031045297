"""How a node runs: as a child process that answers over HTTP, and never outlives its parent."""

import fcntl
import os
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import urllib3

from local.hosts import LOOPBACK, reachable
from local.opensearch import security
from local.opensearch.errors import NodeError
from local.opensearch.program import prepare

DEFAULT_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "byob"
#: What an Amazon domain that is encrypted calls the repository of its own hourly snapshots.
SNAPSHOT_REPOSITORY: Final = "cs-automated-enc"
START_TIMEOUT_SECONDS: Final = 60.0
STOP_TIMEOUT_SECONDS: Final = 15.0
# A node whose parent was killed needs a moment to close; whoever starts anew at once should not see it.
CLAIM_TIMEOUT_SECONDS: Final = 3.0
LOG_LINES_SHOWN: Final = 8


class OpenSearchNode:
    """A node over the folder `data`, as a context manager or between `start` and `stop`; it can be started again.

    `cache` keeps what is fetched and compiled once, some 150 MB. `port` 0 takes any free one anew at each start.
    `host` is where HTTP listens, without a password. `masters`: backend roles that may do everything; with any, the
    node runs OpenSearch's security plugin (see security.py), and fetches another 44 MB for it once.
    The log of the last start is `data`/node.log. A child that is forked (not spawned) while the node runs must not
    outlive this process, for it keeps the node alive.
    """

    def __init__(
        self, data: Path, cache: Path, port: int = 0, host: str = LOOPBACK, *, masters: Sequence[str] = ()
    ) -> None:
        self._data = data.resolve()
        self._cache = cache
        self._port = port
        self._host = host
        self._masters = masters
        self._java: subprocess.Popen[str] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Where the node answers this machine, as http://127.0.0.1:PORT. Raises NodeError when none is started."""
        if self._java is None:
            raise NodeError("the OpenSearch node is not started")
        return self._url

    def start(self) -> None:
        """Start the node and return once it can be written to. The first time on a machine this fetches 45 MB.

        Raises NodeError when it cannot be prepared, another node uses `data`, or it is not ready within 60 seconds.
        Whatever is raised, no process stays behind.
        """
        command = prepare(self._cache, secured=bool(self._masters))
        self._data.mkdir(parents=True, exist_ok=True)
        plugin = []
        if self._masters:
            security.configure(self._data, self._masters)
            plugin = [security.PLUGIN]
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        with self._claim() as claim, self._log.open("wb") as log:
            self._java = subprocess.Popen(
                [*command, str(self._data), str(self._port), self._host, *plugin],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                pass_fds=(claim,),
                # Ctrl-C reaches this process alone, which then stops the node in order.
                start_new_session=True,
            )
        try:
            self._url = f"http://{self._address(self._java, deadline)}"
            self._wait_until_ready(deadline)
            self._have_repository()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Close the node in order; nothing to do when none is started."""
        self._end(by_force=False)

    def kill(self) -> None:
        """Kill the node with SIGKILL, as a crash would; nothing to do when none is started."""
        self._end(by_force=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self._data / "node.log"

    @contextmanager
    def _claim(self) -> Iterator[int]:
        """Give a locked file descriptor to hand on: locked until the last process closes it, so until the node ends."""
        with (self._data / "node.lock").open("w") as file:
            deadline = time.monotonic() + CLAIM_TIMEOUT_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise NodeError(
                            f"the data folder {self._data} is in use by another running OpenSearch node; "
                            "stop that one, or give this one a folder of its own"
                        ) from None
                    time.sleep(0.05)
            yield file.fileno()

    def _address(self, java: subprocess.Popen[str], deadline: float) -> str:
        assert java.stdout is not None
        if not select.select([java.stdout], [], [], deadline - time.monotonic())[0]:
            raise self._failure(f"did not start within {START_TIMEOUT_SECONDS:.0f} seconds")
        answer = java.stdout.readline()
        if not answer.startswith("listening "):
            raise self._failure("ended while it started")
        return f"{reachable(self._host)}:{answer.split()[1]}"

    def _wait_until_ready(self, deadline: float) -> None:
        seconds = max(deadline - time.monotonic(), 1.0)
        path = f"{self._url}/_cluster/health?wait_for_status=yellow&timeout={seconds:.0f}s"
        try:
            with urllib3.PoolManager() as http:
                while (status := http.request("GET", path, timeout=seconds, retries=False).status) == 503:
                    if time.monotonic() > deadline:  # until then the security plugin is not set up
                        break
                    time.sleep(0.05)
        except urllib3.exceptions.HTTPError as error:
            raise self._failure(f"listens but does not answer ({error})") from error
        if status != 200:
            raise self._failure(f"was not ready within {START_TIMEOUT_SECONDS:.0f} seconds")

    def _have_repository(self) -> None:
        """Have a repository for snapshots, as an Amazon domain has one by itself."""
        body = {"type": "fs", "settings": {"location": "hourly"}}
        answer = urllib3.request("PUT", f"{self._url}/_snapshot/{SNAPSHOT_REPOSITORY}?verify=false", json=body)
        if answer.status != 200:
            raise self._failure(f"keeps no snapshots ({answer.data!r})")

    def _failure(self, what: str) -> NodeError:
        # Without the frames of Java's stack traces: the reason stands above them.
        log = self._log.read_text(errors="replace").splitlines()
        lines = [line for line in log if not line.lstrip().startswith("at ")]
        shown = [f"the OpenSearch node {what}; {self._log} ends with:", *lines[-LOG_LINES_SHOWN:]]
        return NodeError("\n  ".join(shown))

    def _end(self, *, by_force: bool) -> None:
        if self._java is None:
            return
        java, self._java = self._java, None
        # Leaving the block closes the pipes and waits; a node whose input ends closes itself.
        with java:
            if by_force:
                java.kill()
            else:
                assert java.stdin is not None
                java.stdin.close()
            try:
                java.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                java.kill()
