"""`python -m local run`, as a person meets it: starts, stops, leaves nothing behind, keeps the bots."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.hosts import EVERYWHERE, for_containers
from local.stack import listen
from tests.proxies import SigningProxy
from tests.support import ApiClient, copy_tree, eventually

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the tree, so that its source may be edited and its data is its own."""
    copy_tree(tmp_path)
    return tmp_path


@contextmanager
def running(checkout: Path, *options: str, port: int = 0, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "local", "run", "--port", str(port), *options],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": f"{checkout}/src:{checkout}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ready(process: subprocess.Popen[str]) -> ApiClient:
    assert process.stdout
    line = process.stdout.readline()
    match = re.fullmatch(r"ready: (http://127\.0\.0\.1:\d+)\n", line)
    assert match, line
    return ApiClient(match[1])


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def all_gone(children: list[psutil.Process]) -> None:
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    assert len(gone) == len(children) > 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order_and_the_bots_survive_a_restart(checkout: Path, configuration: Make, how: int) -> None:
    invoice_reader = configuration()
    with running(checkout) as process:
        api = ready(process)
        created = api.register(invoice_reader)
        children = family(process)

        process.send_signal(how)

        assert process.wait(20) == 0
        assert process.stderr
        assert process.stderr.read() == ""
        all_gone(children)
    with running(checkout) as process:
        read = ready(process)("GET", f"/bots/{invoice_reader['name']}")
        assert read.json["create_date"] == created.json["create_date"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_it_is_stopped_while_starting(checkout: Path, how: int) -> None:
    with running(checkout) as process:
        children = eventually(lambda: family(process), lambda seen: any("java" in child.name() for child in seen))

        process.send_signal(how)

        process.wait(20)
        all_gone(children)


def test_nothing_is_left_when_it_is_killed_while_serving(checkout: Path) -> None:
    with running(checkout) as process:
        ready(process)
        children = family(process)
        assert len(children) > 4

        process.kill()

        all_gone(children)


def test_a_port_in_use_is_one_sentence(checkout: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with running(checkout, port=port) as process:
            _, told = process.communicate(timeout=20)

    assert process.returncode == 1
    assert told == f"error: port {port} is in use; stop what listens there, or choose another one with PORT=…\n"


def listening(process: subprocess.Popen[str]) -> set[str]:
    """Give the addresses at which the process and its children listen."""
    everybody = [psutil.Process(process.pid), *family(process)]
    sockets = [socket for member in everybody for socket in member.net_connections("tcp")]
    return {socket.laddr.ip.removeprefix("::ffff:") for socket in sockets if socket.status == psutil.CONN_LISTEN}


def test_the_gateways_connections_send_at_once() -> None:
    with listen(0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP  # by which asyncio knows that TCP_NODELAY is to be set


def test_nothing_listens_beyond_loopback_unasked(checkout: Path) -> None:
    with running(checkout) as process:
        ready(process)

        assert listening(process) == {"127.0.0.1"}


def test_containers_reach_it_where_it_was_asked_to_listen_and_it_says_so(checkout: Path) -> None:
    address = for_containers(EVERYWHERE)
    with running(checkout, "--host", EVERYWHERE) as process:
        api = ready(process)

        reached = ApiClient(api.url.replace("127.0.0.1", address))("GET", "/health")

        assert reached.status == 200
        assert "127.0.0.1" in listening(process)  # what no container needs stays where it was
        process.terminate()
        assert process.stderr
        told = process.stderr.read()
    assert f"whoever reaches {address} may call" in told
    assert "run `make build` first" in told


def test_an_address_that_is_not_this_machines_is_one_sentence(checkout: Path) -> None:
    with running(checkout, "--host", "198.51.100.7") as process:
        _, told = process.communicate(timeout=20)

    assert process.returncode == 1
    assert re.fullmatch(r"error: nothing can listen on 198\.51\.100\.7:0: .+\n", told)


def test_an_own_opensearch_wins_and_no_node_is_started(
    checkout: Path, signed_opensearch: SigningProxy, configuration: Make
) -> None:
    with running(checkout, OPENSEARCH_URL=signed_opensearch.url) as process:
        api = ready(process)
        api.register(configuration())
        assert not any("java" in child.name() for child in family(process))


def test_an_edit_of_the_source_is_picked_up_by_the_next_request(checkout: Path) -> None:
    with running(checkout) as process:
        api = ready(process)
        before = api("GET", "/health").json
        health = checkout / "src" / "handlers" / "health.py"
        health.write_text(health.read_text().replace('"ok"', '"edited"'))

        after = api("GET", "/health").json

    assert (before, after) == ({"status": "ok"}, {"status": "edited"})


def test_the_functions_logs_are_shown_on_request_and_not_otherwise(
    checkout: Path, signed_opensearch: SigningProxy
) -> None:
    def printed(*options: str) -> list[str]:
        with running(checkout, *options, OPENSEARCH_URL=signed_opensearch.url) as process:
            assert process.stdout
            line = next(line for line in process.stdout if line.startswith("ready: "))
            ApiClient(line.removeprefix("ready: ").strip())(
                "GET", "/health", headers={"X-Amzn-RequestId": "my-request"}
            )
            process.send_signal(signal.SIGTERM)
            return [line for line in process.stdout if "my-request" in line]

    (shown,) = printed("--logs")
    assert (json.loads(shown)["function_name"], json.loads(shown)["status"]) == ("health", 200)
    assert printed() == []


def test_swagger_ui_and_its_document_are_served(checkout: Path) -> None:
    with running(checkout) as process:
        api = ready(process)
        page = api("GET", "/docs").body.decode()
        assets = re.findall(r'(?:src|href)="(/docs/[^"]+)"', page)

        assert len(assets) == 2
        assert [api("GET", asset).status for asset in assets] == [200, 200]
        assert api("GET", "/openapi.json").json == json.loads((checkout / "docs" / "openapi.json").read_text())
