"""What each role may do in the domain, as OpenSearch's own security plugin decides it once MapRoles has mapped them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import requests
import urllib3
from botocore.credentials import Credentials
from requests_aws4auth import AWS4Auth

from local import samples
from local.aws import CREDENTIALS, JOB_ROLE, REGION, client
from local.identities import keys_of
from local.opensearch import DEFAULT_CACHE, SNAPSHOT_REPOSITORY, OpenSearchNode
from local.stack import Running, listen, stack
from local.template import role_arns
from shared import access
from shared.errors import RegistryUnavailableError
from tests.jobs import finished, registered
from tests.proxies import SigningProxy
from tests.support import ApiClient, in_this_process, map_roles

#: Here each role asks for what it must not, too.
pytestmark = pytest.mark.usefixtures("unrecorded")
ROLES: Final = ("HealthRole", "GetBotRole", "CreateBotRole", JOB_ROLE, "ManageSnapshotsRole")
MONITOR, READ, WRITE, RUN_BOTS, OPERATE = ROLES
DOCUMENT: Final[dict[str, Any]] = {"name": "invoice-reader"}
#: What is asked of the domain, and who is answered; everybody else is refused.
MATRIX: Final[dict[str, tuple[str, str, Any, set[str]]]] = {
    "tell that it answers": ("GET", "/", None, {MONITOR}),
    "read a bot": ("GET", "/access-bots/_doc/1", None, {READ, WRITE}),
    "read several": ("POST", "/access-bots/_mget", {"ids": ["1"]}, {READ, WRITE}),
    "search bots": ("POST", "/access-bots/_search", {}, {READ, WRITE}),
    "count bots": ("POST", "/access-bots/_count", {}, {READ, WRITE}),
    "write a bot": ("PUT", "/access-bots/_doc/2?require_alias=true", DOCUMENT, {WRITE}),
    "remove a bot": ("DELETE", "/access-bots/_doc/2", None, {WRITE}),
    "refresh bots": ("POST", "/access-bots/_refresh", None, {WRITE}),
    "add a field": ("PUT", "/access-bots/_mapping", {"properties": {"a": {"type": "long"}}}, {WRITE}),
    "make an index": ("PUT", "/access-things-{role}", {}, {WRITE, OPERATE}),
    "move an alias": (
        "POST",
        "/_aliases",
        {"actions": [{"add": {"index": "access-bots-1", "alias": "access-bots-too"}}]},
        {WRITE, OPERATE},
    ),
    "search the work list": ("POST", "/access-items/_search?scroll=1m", {}, {READ, WRITE, RUN_BOTS}),
    "refresh the work list": ("POST", "/access-items/_refresh", None, {WRITE, RUN_BOTS}),
    "update an item": ("POST", "/access-items/_update/1", {"doc": DOCUMENT}, {WRITE, RUN_BOTS}),
    "remove an item": ("DELETE", "/access-items/_doc/none", None, {WRITE}),
    "look how far a restoring is": ("GET", "/access-*/_recovery", None, {OPERATE}),
    "list snapshots": ("GET", f"/_snapshot/{SNAPSHOT_REPOSITORY}/_all", None, {OPERATE}),
    "remove a snapshot": ("DELETE", f"/_snapshot/{SNAPSHOT_REPOSITORY}/none", None, set()),
    "name a repository": ("PUT", "/_snapshot/mine", {"type": "fs", "settings": {"location": "mine"}}, set()),
    "remove an index": ("DELETE", "/access-bots-1", None, set()),
    "read what is somebody else's": ("GET", "/accessories-1/_doc/1", None, set()),
    "write what is somebody else's": ("PUT", "/accessories-1/_doc/1", DOCUMENT, set()),
    "change the settings": ("PUT", "/_cluster/settings", {"transient": {"cluster.max_shards_per_node": 900}}, set()),
    "give oneself a role": ("PUT", "/_plugins/_security/api/rolesmapping/all_access", {"users": ["*"]}, set()),
}


@pytest.fixture(scope="module")
def mapped(node: OpenSearchNode, signed_opensearch: SigningProxy) -> Any:
    """What MapRoles answers; there are a bot, an item, and an index of another deployment."""
    for index in ("access-bots", "access-items", "accessories"):
        look(node, "PUT", f"/{index}-1", {"aliases": {index: {}}})
        look(node, "PUT", f"/{index}-1/_doc/1", DOCUMENT)
    return map_roles(signed_opensearch.url, "access")


def look(node: OpenSearchNode, method: str, path: str, body: Any = None) -> Any:
    """Ask the node itself, past every role."""
    answer = urllib3.request(method, node.url + path, json=body)
    assert answer.status < 300, answer.data
    return answer.json()


def ask(role: str, url: str, method: str, path: str, body: Any) -> int:
    key, secret, token = keys_of(role).values()
    auth = AWS4Auth(key, secret, REGION, "es", session_token=token)
    target = url + path.format(role=role.lower())
    return requests.request(method, target, json=body, auth=auth, timeout=20).status_code


def security_of(node: OpenSearchNode, prefix: str) -> Any:
    """Read a deployment's roles and who has them."""
    return [
        {name: found for name, found in look(node, "GET", f"{access.PATH}/{kind}").items() if name.startswith(prefix)}
        for kind in ("roles", "rolesmapping")
    ]


@pytest.mark.parametrize("what", MATRIX)
@pytest.mark.usefixtures("mapped")
def test_a_role_may_do_what_it_needs_and_no_more(what: str, signed_opensearch: SigningProxy) -> None:
    method, path, body, allowed = MATRIX[what]

    answers = {role: ask(role, signed_opensearch.url, method, path, body) for role in ROLES}

    assert {role for role, status in answers.items() if status != 403} == allowed, answers
    assert all(status < 300 or (method, status) == ("DELETE", 404) for status in answers.values() if status != 403)


def test_mapping_the_roles_again_changes_nothing_and_restores_what_was_removed(
    mapped: Any, node: OpenSearchNode, signed_opensearch: SigningProxy
) -> None:
    before = security_of(node, "access_")
    assert mapped == {"mapped": list(access.roles("access"))}
    assert set(before[1]) == set(mapped["mapped"])

    assert map_roles(signed_opensearch.url, "access") == mapped
    assert security_of(node, "access_") == before

    look(node, "DELETE", f"{access.PATH}/rolesmapping/access_write")
    assert ask(WRITE, signed_opensearch.url, "POST", "/access-bots/_search", {}) == 403
    assert map_roles(signed_opensearch.url, "access") == mapped
    assert security_of(node, "access_") == before
    assert ask(WRITE, signed_opensearch.url, "POST", "/access-bots/_search", {}) == 200


def test_a_domain_that_refuses_the_mapping_is_no_success(
    signed_opensearch: SigningProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        in_this_process(signed_opensearch.url, "access", monkeypatch, function="CreateBot"),
        pytest.raises(RegistryUnavailableError, match="403"),
    ):
        access.map_roles()


def test_a_domain_without_fine_grained_access_control_needs_no_mapping(tmp_path: Path) -> None:
    with OpenSearchNode(tmp_path, DEFAULT_CACHE) as plain:
        assert map_roles(plain.url, "byob") == {"mapped": []}


class Deployment:
    """A stack whose jobs run the kit's own bot over the sample pictures."""

    def __init__(self, running: Running) -> None:
        self.api = ApiClient(running.url, running.aws_url)
        samples.provide(client("s3", running.aws_url))

    def status_of_a_job(self, bot: str) -> str:
        request = {"bot_name": bot, "s3_bucket": samples.BUCKET, "s3_path": samples.PREFIX}
        reply = self.api("POST", "/jobs", {**request, "output_s3_bucket": samples.RESULTS, "number_of_bots": 2})
        assert reply.status == 202, reply.body
        status: str = finished(self.api, reply.json["job_id"], seconds=120)["status"]
        return status


@pytest.fixture(scope="module")
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearchNode]:
    """A domain of one deployment: what the cluster permits its jobs' role comes from nowhere else."""
    masters = (role_arns()["MapRolesRole"],)
    with OpenSearchNode(tmp_path_factory.mktemp("own"), DEFAULT_CACHE, masters=masters) as own:
        yield own


@pytest.fixture(scope="module")
def deployment(own_node: OpenSearchNode) -> Iterator[Deployment]:
    with (
        SigningProxy(own_node.url, Credentials(*CREDENTIALS.values()), REGION) as proxy,
        stack(proxy.url, listen(0), workers=2, pace=0.01) as running,
    ):
        yield Deployment(running)


@pytest.mark.parametrize("taken", ["indices:admin/refresh*", "indices:data/write/bulk"])
def test_a_job_is_completed_by_the_bots_role_and_is_not_without_either_permission(
    deployment: Deployment, own_node: OpenSearchNode, configuration: Any, taken: str
) -> None:
    bot = registered(deployment.api, configuration(file_types=".png,.jpg"))
    assert deployment.status_of_a_job(bot) == "COMPLETED"
    role = access.roles("byob")["byob_run_bots"]
    without = json.loads(json.dumps(role).replace(f'"{taken}", ', "").replace(f', "{taken}"', ""))
    assert without != role

    look(own_node, "PUT", f"{access.PATH}/roles/byob_run_bots", without)
    try:
        assert deployment.status_of_a_job(bot) == "FAILED"
    finally:
        look(own_node, "PUT", f"{access.PATH}/roles/byob_run_bots", role)
    assert deployment.status_of_a_job(bot) == "COMPLETED"
