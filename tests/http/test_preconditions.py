from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support import ApiClient, eventually

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def settled(api: ApiClient, configuration: Make) -> str:
    """A bot whose endpoint moves no more."""
    name: str = api.register(configuration()).json["name"]
    eventually(lambda: api.endpoint_of(name), lambda seen: seen["status"] == "InService")
    return name


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_stale_if_match_changes_nothing(api: ApiClient, configuration: Make, method: str) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"
    stale = api.register(invoice_reader).etag
    current = api("PATCH", path, {"bot_image": "newer:1"})

    refused = api(method, path, {**invoice_reader, "bot_image": "older:1"}, {"If-Match": stale})

    assert refused.status == 412
    assert api("GET", path).json["bot_image"] == current.json["bot_image"] == "newer:1"


def test_if_match_holds_while_only_the_endpoint_moves(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"
    early = api.register(invoice_reader).etag
    late = eventually(lambda: api("GET", path).etag, lambda etag: etag != early)

    changed = api("PATCH", path, {"bot_image": "newer:1"}, {"If-Match": early})

    assert late.partition(".")[0] == early.partition(".")[0]
    assert changed.status == 200


def test_if_none_match_star_only_creates(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"

    first = api("PUT", path, invoice_reader, {"If-None-Match": "*"})
    second = api("PUT", path, invoice_reader, {"If-None-Match": "*"})

    assert (first.status, second.status) == (201, 412)


def test_if_match_refuses_to_create(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"

    assert api("PUT", path, invoice_reader, {"If-Match": "*"}).status == 412
    assert api("GET", path).status == 404


def test_304_for_the_state_that_the_caller_has(api: ApiClient, settled: str) -> None:
    read = api("GET", f"/bots/{settled}")

    again = api("GET", f"/bots/{settled}", headers={"If-None-Match": f'"other", W/{read.etag}'})

    assert (again.status, again.body, again.etag) == (304, b"", read.etag)


def test_304_never_hides_a_change_of_the_endpoint(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    registered = api.register(invoice_reader)
    path = f"/bots/{invoice_reader['name']}"
    eventually(lambda: api.endpoint_of(invoice_reader["name"]), lambda seen: seen["status"] == "InService")

    read = api("GET", path, headers={"If-None-Match": registered.etag})

    assert read.status == 200
    assert read.json["endpoints"][0]["status"] == "InService"


@pytest.mark.parametrize("tag", ["1-1", '"1-1', "W/1-1", '"1-1" "2-1"', ""])
def test_a_malformed_if_match_is_named(api: ApiClient, settled: str, tag: str) -> None:
    refused = api("PATCH", f"/bots/{settled}", {"bot_image": "x"}, {"If-Match": tag})

    assert (refused.status, refused.pointers) == (400, ["/If-Match"])


def test_two_hundred_read_modify_writes_from_eight_threads_lose_none(api: ApiClient, settled: str) -> None:
    path = f"/bots/{settled}"
    api("PATCH", path, {"bot_mem": 1000})

    def add_one(_: int) -> None:
        while True:
            read = api("GET", path)
            changed = {**read.json, "bot_mem": read.json["bot_mem"] + 1}
            status = api("PUT", path, changed, {"If-Match": read.etag}).status
            assert status in (200, 412)
            if status == 200:
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(200)))

    assert api("GET", path).json["bot_mem"] == 1200
