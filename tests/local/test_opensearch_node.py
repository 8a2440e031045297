"""The local OpenSearch node keeps what it is given, belongs to one folder, and dies with whoever started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from local.opensearch import DEFAULT_CACHE, NodeError, OpenSearchNode, fetch, node
from local.opensearch.jars import recorded

PARENT = """
import sys
from pathlib import Path
from local.opensearch import DEFAULT_CACHE, OpenSearchNode
node = OpenSearchNode(Path(sys.argv[1]), DEFAULT_CACHE)
node.start()
print(node._java.pid, "jgo" in sys.modules, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[OpenSearchNode]:
    with OpenSearchNode(tmp_path / "data", DEFAULT_CACHE) as node:
        yield node


@pytest.fixture
def parent(started: OpenSearchNode, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    # `started` has prepared the cache, so that what this process imports is what a later start imports.
    command = [sys.executable, "-c", PARENT, str(tmp_path / "child")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[2]) as process:
        yield process
        process.kill()


def test_a_document_survives_stop_and_start(started: OpenSearchNode) -> None:
    _write(started, "invoice-reader")

    started.stop()
    started.start()

    assert _read_status(started, "invoice-reader") == 200


def test_a_document_survives_a_killed_node(started: OpenSearchNode) -> None:
    _write(started, "invoice-reader")

    started.kill()
    started.start()

    assert _read_status(started, "invoice-reader") == 200


def test_a_node_dies_when_its_parent_is_killed(parent: subprocess.Popen[str]) -> None:
    java = int(_first_line(parent).split()[0])

    parent.send_signal(signal.SIGKILL)

    _wait_until(lambda: not _is_alive(java))


def test_a_start_from_a_prepared_cache_imports_no_jgo(parent: subprocess.Popen[str]) -> None:
    assert _first_line(parent).split()[1] == "False"


def test_a_second_node_on_the_same_folder_is_refused_in_a_sentence(started: OpenSearchNode, tmp_path: Path) -> None:
    second = OpenSearchNode(tmp_path / "data", DEFAULT_CACHE)

    with pytest.raises(NodeError, match="is in use by another running OpenSearch node; stop that one"):
        second.start()

    assert _read_status(started, "anything") == 404, "the first node must not be disturbed"


def test_an_interrupt_during_the_start_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def interrupt(self: OpenSearchNode, java: subprocess.Popen[str], _deadline: float) -> str:
        seen.append(java.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(OpenSearchNode, "_address", interrupt)

    with pytest.raises(KeyboardInterrupt):
        OpenSearchNode(tmp_path, DEFAULT_CACHE).start()

    assert not _is_alive(seen[0])


def test_a_failed_start_is_explained_by_the_log(started: OpenSearchNode, tmp_path: Path) -> None:
    taken = urllib3.util.parse_url(started.url).port
    assert taken is not None

    with pytest.raises(NodeError, match=r"ended while it started(.|\n)*Address already in use"):
        OpenSearchNode(tmp_path / "other", DEFAULT_CACHE, port=taken).start()


def test_a_node_that_is_not_ready_in_time_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "START_TIMEOUT_SECONDS", 0.01)

    with pytest.raises(NodeError, match="did not start within"):
        OpenSearchNode(tmp_path, DEFAULT_CACHE).start()


def test_a_jar_that_is_not_the_recorded_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.jar"
    other.write_bytes(b"not what was recorded")
    monkeypatch.setattr("jgo.maven.PythonResolver.download", lambda *_: other)

    with pytest.raises(NodeError, match=r"refusing jackson-core-2\.18\.2\.jar: its SHA-256 is not the one recorded"):
        fetch.fetch(recorded()[:1], tmp_path / "jars")

    assert not list((tmp_path / "jars").iterdir())


def test_no_two_recorded_jars_share_a_name() -> None:
    names = [jar.name for jar in recorded()]

    assert len(set(names)) == len(names)


def test_a_jar_names_its_coordinate() -> None:
    jar = next(jar for jar in recorded() if jar.name.startswith("ecj-"))

    assert jar.coordinate == "org.eclipse.jdt:ecj:3.39.0"


def _write(to: OpenSearchNode, id: str) -> None:
    # No refresh: the translog alone must carry the document over.
    answer = urllib3.request("PUT", f"{to.url}/bots/_doc/{id}", json={"name": id})
    assert answer.status == 201


def _read_status(of: OpenSearchNode, id: str) -> int:
    return urllib3.request("GET", f"{of.url}/bots/_doc/{id}").status


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that nobody waits for remains as a zombie where the first process does not reap.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
