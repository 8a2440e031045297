"""Mapping the functions' roles in a domain: against a server in the place of the security plugin's REST API."""

import json
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from local.aws import CREDENTIALS, REGION
from local.opensearch import OpenSearchNode
from shared import access, opensearch
from shared.errors import RegistryUnavailableError
from tests.support import forget_settings

ROLES = {
    "ROLES_THAT_MONITOR": "arn:aws:iam::123456789012:role/health",
    "ROLES_THAT_READ": "arn:aws:iam::123456789012:role/get-bot,arn:aws:iam::123456789012:role/list-bots",
    "ROLES_THAT_WRITE": "arn:aws:iam::123456789012:role/create-bot",
    "ROLES_THAT_RUN_BOTS": "arn:aws:iam::123456789012:role/job",
}


@pytest.fixture
def _settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {**ROLES, **CREDENTIALS, "AWS_REGION": REGION, "INDEX_PREFIX": "byob"}.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    opensearch.client.cache_clear()
    yield
    forget_settings()
    opensearch.client.cache_clear()


class _Domain(ThreadingHTTPServer):
    """Keeps what is put, and answers what it is told."""

    def __init__(self, status: int = 200) -> None:
        self.put: dict[str, Any] = {}
        self.status = status
        super().__init__(("127.0.0.1", 0), _Put)
        Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Put(BaseHTTPRequestHandler):
    server: _Domain

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.put[self.path] = body
        answer = b'{"status":"OK","message":"updated"}'
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None: ...


@pytest.mark.usefixtures("_settings")
def test_each_role_of_the_domain_is_written_and_given_to_the_functions_that_need_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _Domain() as domain:
        monkeypatch.setenv("OPENSEARCH_URL", f"http://127.0.0.1:{domain.server_port}")

        written = access.map_roles()

    members: Mapping[str, list[str]] = {
        path.rpartition("/")[2]: body["backend_roles"] for path, body in domain.put.items() if "rolesmapping" in path
    }
    assert members == {
        "byob_monitor": [ROLES["ROLES_THAT_MONITOR"]],
        "byob_read": ROLES["ROLES_THAT_READ"].split(","),
        "byob_write": [ROLES["ROLES_THAT_WRITE"]],
        "byob_run_bots": [ROLES["ROLES_THAT_RUN_BOTS"]],
    }
    assert written == list(members)
    assert {name: domain.put[f"/_plugins/_security/api/roles/{name}"] for name in written} == access.roles("byob")


@pytest.mark.usefixtures("_settings")
def test_a_domain_that_refuses_the_mapping_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    with _Domain(status=403) as domain:
        monkeypatch.setenv("OPENSEARCH_URL", f"http://127.0.0.1:{domain.server_port}")

        with pytest.raises(RegistryUnavailableError, match="403"):
            access.map_roles()


@pytest.mark.usefixtures("_settings")
def test_a_domain_without_fine_grained_access_control_needs_no_mapping(
    node: OpenSearchNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSEARCH_URL", node.url)

    assert access.map_roles() == []


def test_those_who_read_may_write_nothing_and_nobody_leaves_the_products_indices() -> None:
    roles = access.roles("byob")

    patterns = {
        name: [pattern for each in role["index_permissions"] for pattern in each["index_patterns"]]
        for name, role in roles.items()
    }
    assert patterns == {
        "byob_monitor": [],
        "byob_read": ["byob-*"],
        "byob_write": ["byob-*"],
        "byob_run_bots": ["byob-items*"],
    }
    assert roles["byob_read"]["index_permissions"][0]["allowed_actions"] == ["indices:data/read/*"]
