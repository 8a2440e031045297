"""Restoring the registry from a snapshot: the operators' function, with its own role, on the real node."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from local.opensearch import SNAPSHOT_REPOSITORY, OpenSearchNode
from local.stack import listen, stack
from tests.proxies import SigningProxy
from tests.support import ApiClient, eventually

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Service:
    """A deployment, and the domain as only its owner sees it."""

    api: ApiClient
    node_url: str
    prefix: str

    def manage(self, **event: Any) -> Any:
        """Invoke ManageSnapshots as `aws lambda invoke` does; give what it returns or, where it fails, its sentence."""
        reply = self.api.aws("lambda").invoke(FunctionName="ManageSnapshots", Payload=json.dumps(event))
        answer = json.loads(reply["Payload"].read())
        return answer["errorMessage"] if "FunctionError" in reply else answer

    def restored(self, snapshot: str) -> Any:
        """Restore a snapshot to its end; give the generation."""
        generation = self.manage(action="restore", snapshot=snapshot)["generation"]
        eventually(
            lambda: [index for index in self.manage(action="list")["indices"] if generation in index["index"]],
            lambda seen: seen != [] and all(index["percent"] == 100 for index in seen),
        )
        return generation

    def snapshot(self) -> str:
        """Have the domain take a snapshot of everything; give its name."""
        name = f"2026-11-24t09-30-00.{next(_numbers)}"
        self.ask("PUT", f"/_snapshot/{SNAPSHOT_REPOSITORY}/{name}?wait_for_completion=true")
        return name

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = urllib3.request(method, self.node_url + path, json=body)
        assert answer.status == 200, answer.data
        return answer.json()

    def status(self, bot: dict[str, Any]) -> int:
        return self.api("GET", f"/bots/{bot['name']}").status


@pytest.fixture
def service(node: OpenSearchNode, signed_opensearch: SigningProxy) -> Iterator[Service]:
    prefix = f"kept{next(_numbers)}"
    with stack(signed_opensearch.url, listen(0), workers=1, extra={"INDEX_PREFIX": prefix}) as running:
        service = Service(ApiClient(running.url, running.aws_url), node.url, prefix)
        yield service
        service.ask("DELETE", f"/{prefix}-*")  # a snapshot of everything needs every index to be whole


@pytest.fixture
def bot(configuration: Any) -> dict[str, Any]:
    return dict(configuration(endpoint_ecr_image_path=None))


@pytest.fixture
def newer_bot(configuration: Any) -> dict[str, Any]:
    return dict(configuration(endpoint_ecr_image_path=None))


def test_bots_that_were_lost_are_read_again_once_a_snapshot_is_restored(service: Service, bot: dict[str, Any]) -> None:
    service.api.register(bot)
    snapshot = service.snapshot()
    service.ask("DELETE", f"/{service.prefix}-bots-1")
    assert service.status(bot) == 404

    generation = service.restored(snapshot)
    moved = service.manage(action="switch", generation=generation)

    assert service.status(bot) == 200
    bots = f"{service.prefix}-bots"
    assert moved["serving"][bots] == f"{bots}-{generation}"
    assert service.api("PATCH", f"/bots/{bot['name']}", {"bot_vcpu": 2}).status == 200


def test_the_same_request_again_changes_nothing(service: Service, bot: dict[str, Any]) -> None:
    service.api.register(bot)
    snapshot = service.snapshot()
    generation = service.restored(snapshot)
    moved = service.manage(action="switch", generation=generation)

    again = service.manage(action="restore", snapshot=snapshot)
    moved_again = service.manage(action="switch", generation=generation)

    assert (again["generation"], again["begun"]) == (generation, [])
    assert again["there_already"] == sorted(moved["serving"].values())
    assert moved_again == {**moved, "removed": {}}


def test_what_was_in_use_stays_to_go_back_to(service: Service, bot: dict[str, Any], newer_bot: dict[str, Any]) -> None:
    service.api.register(bot)
    snapshot = service.snapshot()
    service.api.register(newer_bot)
    generation = service.restored(snapshot)
    assert (service.status(bot), service.status(newer_bot)) == (200, 200), "restoring alone shows nobody anything"

    service.manage(action="switch", generation=generation)
    then = (service.status(bot), service.status(newer_bot))
    service.manage(action="switch", generation="1")

    assert then == (200, 404)
    assert (service.status(bot), service.status(newer_bot)) == (200, 200)


def test_only_the_indices_named_are_restored_and_switched(service: Service, bot: dict[str, Any]) -> None:
    service.api.register(bot)
    snapshot = service.snapshot()
    bots = f"{service.prefix}-bots"

    restored = service.manage(action="restore", snapshot=snapshot, indices=[f"{bots}-1"])

    assert restored["begun"] == [f"{bots}-{restored['generation']}"]


def test_indices_of_a_deployment_whose_prefix_begins_alike_are_left_alone(
    service: Service, bot: dict[str, Any]
) -> None:
    service.api.register(bot)
    other = f"{service.prefix}-too-bots-1"
    service.ask("PUT", f"/{other}")
    snapshot = service.snapshot()

    listed = service.manage(action="list")
    restored = service.manage(action="restore", snapshot=snapshot)

    (shown,) = [each for each in listed["snapshots"] if each["snapshot"] == snapshot]
    assert other not in [*shown["indices"], *(index["index"] for index in listed["indices"])]
    assert all(name.startswith(f"{service.prefix}-") and "-too-" not in name for name in restored["begun"])


def test_nothing_moves_to_an_index_that_is_not_whole(service: Service, bot: dict[str, Any]) -> None:
    service.api.register(bot)
    nowhere = {"settings": {"index.routing.allocation.require._name": "nobody"}}
    service.ask("PUT", f"/{service.prefix}-bots-r1?wait_for_active_shards=0&timeout=1s", nowhere)
    service.ask("PUT", f"/{service.prefix}-endpoints-r1")

    refused = service.manage(action="switch", generation="r1")

    assert refused == f"not restored yet: {service.prefix}-bots-r1 (0 %); nothing was moved"
    assert {index["index"] for index in service.manage(action="list")["indices"] if index["serves"]} == {
        f"{service.prefix}-bots-1",
        f"{service.prefix}-endpoints-1",
    }


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({}, "action must be one of list, restore, switch"),
        ({"action": ["list"]}, "action must be one of list, restore, switch"),
        ({"action": "delete"}, "action must be one of list, restore, switch"),
        ({"action": "list", "snapshot": "s"}, "list knows no snapshot"),
        ({"action": "restore"}, "snapshot must be a name that `list` shows"),
        ({"action": "restore", "snapshot": "_all"}, "snapshot must be a name that `list` shows"),
        ({"action": "restore", "snapshot": "../_aliases"}, "snapshot must be a name that `list` shows"),
        ({"action": "restore", "snapshot": "one,two"}, "snapshot must be a name that `list` shows"),
        ({"action": "restore", "snapshot": "*"}, "snapshot must be a name that `list` shows"),
        ({"action": "restore", "snapshot": "s", "indices": "*"}, "indices must be a list of names that `list` shows"),
        (
            {"action": "restore", "snapshot": "never-taken"},
            f"the repository {SNAPSHOT_REPOSITORY} or its snapshot never-taken is not there",
        ),
        ({"action": "switch", "generation": "*"}, "generation must be a name that `list` shows"),
        ({"action": "switch", "generation": "r2"}, "there is no index of generation r2; there is none"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_done_is_refused_in_a_sentence(
    nothing_registered: Service, event: dict[str, Any], sentence: str
) -> None:
    assert nothing_registered.manage(**event) == sentence


@pytest.fixture(scope="module")
def nothing_registered(node: OpenSearchNode, signed_opensearch: SigningProxy) -> Iterator[Service]:
    with stack(signed_opensearch.url, listen(0), workers=1, extra={"INDEX_PREFIX": "nothing"}) as running:
        yield Service(ApiClient(running.url, running.aws_url), node.url, "nothing")


def test_an_index_that_the_snapshot_lacks_is_named(service: Service, bot: dict[str, Any]) -> None:
    service.api.register(bot)
    snapshot = service.snapshot()

    refused = service.manage(action="restore", snapshot=snapshot, indices=[".opendistro_security"])

    ours = f"{service.prefix}-bots-1, {service.prefix}-endpoints-1"
    assert refused == f"snapshot {snapshot} has no .opendistro_security; it has {ours}"
