import base64
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support import ApiClient

Make = Callable[..., dict[str, Any]]


def pages(api: ApiClient, **parameters: Any) -> Iterator[list[str]]:
    token = None
    while True:
        reply = api("GET", "/bots?" + urlencode({**parameters, **({"next_token": token} if token else {})}))
        assert reply.status == 200, reply.body
        yield [bot["name"] for bot in reply.json["bots"]]
        token = reply.json["next_token"]
        if token is None:
            return


def names(api: ApiClient, **parameters: Any) -> list[str]:
    return list(itertools.chain.from_iterable(pages(api, **parameters)))


@pytest.fixture(scope="module")
def shelf(api: ApiClient) -> list[str]:
    """A thousand bots that share an endpoint which their authors run."""
    everyone = [f"shelf-{number:04}" for number in range(1000)]

    def register(name: str) -> None:
        api.register(
            {
                "name": name,
                "file_types": ".pdf" if name.endswith("7") else ".PNG,.jpg",
                "bot_image": "shelf:1",
                "endpoint_name": "shelf-Endpoint" if name < "shelf-0100" else "shelf-other,shelf-another",
                "instance_type": "ml.m5.large",
            }
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(register, everyone))
    return everyone


def test_a_thousand_bots_page_through_in_order(api: ApiClient, shelf: list[str]) -> None:
    seen = list(pages(api, name_prefix="shelf-", limit=100))

    assert [len(page) for page in seen] == [100] * 10
    assert list(itertools.chain.from_iterable(seen)) == shelf


def test_paging_neither_repeats_nor_misses_while_bots_come_and_go(
    api: ApiClient, shelf: list[str], configuration: Make
) -> None:
    done = threading.Event()

    def churn() -> int:
        number = 0
        while not done.is_set():
            name = f"shelf-{number * 37 % 1000:04}-passing"
            api.register(configuration(name=name, endpoint_ecr_image_path=None))
            assert api("DELETE", f"/bots/{name}").status == 204
            number += 1
        return number

    with ThreadPoolExecutor(1) as pool:
        churned = pool.submit(churn)
        seen = names(api, name_prefix="shelf-", limit=5)
        done.set()

    assert churned.result() > 5
    assert [name for name in seen if not name.endswith("-passing")] == shelf
    assert len(set(seen)) == len(seen)


def test_filters_match_without_regard_to_case_and_all_at_once(api: ApiClient, shelf: list[str]) -> None:
    by_endpoint = names(api, endpoint_name="SHELF-endpoint", limit=100)
    by_second_endpoint = names(api, endpoint_name="shelf-another", limit=100)
    by_type = names(api, file_type=".png", name_prefix="shelf-00", endpoint_name="shelf-endpoint", limit=100)

    assert by_endpoint == shelf[:100]
    assert by_second_endpoint == shelf[100:]
    assert by_type == [name for name in shelf[:100] if not name.endswith("7")]


def test_a_filter_is_text_and_no_query(api: ApiClient, shelf: list[str]) -> None:
    for text in ["shelf-*", "shelf-.*", '"}}', "name:shelf", "shelf-0 OR 1=1", "机器人-"]:
        assert list(pages(api, name_prefix=text)) == [[]]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "1.0", "", " 5", "٣", "1e1", "9" * 5000])
def test_a_limit_out_of_range_is_named(api: ApiClient, limit: str) -> None:
    refused = api("GET", "/bots?" + urlencode({"limit": limit}))

    assert (refused.status, refused.pointers) == (400, ["/limit"])


def test_a_tampered_page_token_is_refused(api: ApiClient, shelf: list[str]) -> None:
    token = api("GET", "/bots?name_prefix=shelf-&limit=10").json["next_token"]
    raw = base64.urlsafe_b64decode(token + "==")
    other_name = base64.urlsafe_b64encode(raw[:8] + b"shelf-0500").rstrip(b"=").decode()
    tampered = [token[:-1], token + "A", token[::-1], other_name, "AAAA", "%00", "é", "next", token + "=", "=" * 9]

    replies = [
        api("GET", "/bots?" + urlencode({"name_prefix": "shelf-", "limit": 10, "next_token": text}))
        for text in tampered
    ]

    assert [(reply.status, reply.pointers) for reply in replies] == [(400, ["/next_token"])] * len(tampered)


def test_a_token_of_other_filters_is_refused(api: ApiClient, shelf: list[str]) -> None:
    token = api("GET", "/bots?name_prefix=shelf-&limit=10").json["next_token"]

    refused = api("GET", f"/bots?name_prefix=shelf-0&limit=10&next_token={token}")

    assert (refused.status, refused.pointers) == (400, ["/next_token"])


def test_an_unknown_or_repeated_parameter_is_named(api: ApiClient) -> None:
    unknown = api("GET", "/bots?prefix=shelf-")
    repeated = api("GET", "/bots?limit=1&limit=2")

    assert (unknown.status, unknown.pointers) == (400, ["/prefix"])
    assert (repeated.status, repeated.pointers) == (400, ["/limit"])
