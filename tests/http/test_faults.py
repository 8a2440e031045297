import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.proxies import FaultProxy
from tests.support import ApiClient, Reply, at_once

Make = Callable[..., dict[str, Any]]

FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "refuses connections": lambda proxy: proxy.refuse(),
    "hangs": lambda proxy: proxy.hang(),
    "answers 429": lambda proxy: proxy.answer(429, json.dumps({"error": "es_rejected_execution_exception"}).encode()),
    "answers 500": lambda proxy: proxy.answer(500, b'{"error": "boom"}'),
    "answers 403": lambda proxy: proxy.answer(403, b'{"message": "not authorized"}'),
    "answers no JSON": lambda proxy: proxy.answer(200, b"<html>"),
    "resets connections": lambda proxy: proxy.reset_connections(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_opensearch_in_trouble_is_a_503_that_invites_to_come_again(
    faulty_api: ApiClient, fault_proxy: FaultProxy, configuration: Make, fault: Callable[[FaultProxy], None]
) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"
    fault(fault_proxy)

    replies = [
        faulty_api("POST", "/bots", invoice_reader),
        faulty_api("PUT", path, invoice_reader),
        faulty_api("PATCH", path, {"bot_image": "x"}),
        faulty_api("GET", path),
        faulty_api("GET", "/bots"),
        faulty_api("DELETE", path),
        faulty_api("GET", "/health"),
    ]

    for reply in replies:
        assert reply.status == 503, reply.body
        assert int(reply.headers["retry-after"]) > 0
        assert reply.json["type"] == "urn:byob:registry-unavailable"
    fault_proxy.forward()
    assert faulty_api("GET", path).status == 404
    assert faulty_api("POST", "/bots", invoice_reader).status == 201


def writes_of(name: str) -> Callable[[str, str, bytes], bool]:
    return lambda method, path, _body: method in ("PUT", "POST") and f"/_doc/{name}" in path


def test_a_create_whose_answer_was_lost_is_recognised_as_done(
    faulty_api: ApiClient, fault_proxy: FaultProxy, configuration: Make
) -> None:
    invoice_reader = configuration()
    fault_proxy.drop_answers(1, matching=writes_of(invoice_reader["name"]))

    created = faulty_api("POST", "/bots", invoice_reader)

    assert created.status == 201
    assert faulty_api("POST", "/bots", invoice_reader).status == 200


def test_a_create_whose_every_answer_was_lost_is_recognised_as_done(
    faulty_api: ApiClient, fault_proxy: FaultProxy, configuration: Make
) -> None:
    invoice_reader = configuration()
    fault_proxy.drop_answers(2, matching=writes_of(invoice_reader["name"]))

    assert faulty_api("POST", "/bots", invoice_reader).status == 201


def test_a_create_that_never_arrived_is_a_503_that_says_so_once(
    faulty_api: ApiClient, fault_proxy: FaultProxy, configuration: Make
) -> None:
    invoice_reader = configuration()
    fault_proxy.drop_requests(2, matching=writes_of(invoice_reader["name"]))

    refused = faulty_api("POST", "/bots", invoice_reader)

    assert refused.status == 503
    assert refused.json["detail"].count("the registry cannot be used now") == 1
    assert faulty_api("POST", "/bots", invoice_reader).status == 201


def test_a_lost_answer_does_not_take_somebody_elses_equal_bot_for_its_own(
    faulty_api: ApiClient, fault_proxy: FaultProxy, configuration: Make
) -> None:
    invoice_reader = configuration()
    faulty_api.register(configuration())  # so that what is dropped is no word of a missing index
    fault_proxy.drop_answers(3, matching=writes_of(invoice_reader["name"]))

    replies = at_once(8, lambda _: faulty_api("POST", "/bots", invoice_reader))

    assert sorted(reply.status for reply in replies) == [200] * 7 + [201]


def test_a_create_whose_every_refusal_was_lost_is_told_who_has_the_name(
    faulty_api: ApiClient, fault_proxy: FaultProxy, configuration: Make
) -> None:
    invoice_reader = configuration()
    faulty_api.register(invoice_reader)

    fault_proxy.drop_answers(2, matching=writes_of(invoice_reader["name"]))
    same = faulty_api("POST", "/bots", invoice_reader)
    fault_proxy.drop_answers(2, matching=writes_of(invoice_reader["name"]))
    other = faulty_api("POST", "/bots", {**invoice_reader, "bot_image": "newer:1"})

    assert (same.status, other.status) == (200, 409)


def test_a_replacement_whose_answer_was_lost_is_made_once(
    faulty_api: ApiClient, fault_proxy: FaultProxy, configuration: Make
) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"
    faulty_api.register(invoice_reader)
    etag = faulty_api("GET", path).etag
    fault_proxy.drop_answers(1, matching=writes_of(invoice_reader["name"]))

    replaced = faulty_api("PUT", path, {**invoice_reader, "bot_image": "newer:1"}, {"If-Match": etag})

    assert replaced.status == 200
    first, second = (reply.etag.partition("-")[0].strip('"') for reply in (faulty_api("GET", path), replaced))
    assert first == second


def test_a_delete_whose_answer_was_lost_is_done(
    faulty_api: ApiClient, fault_proxy: FaultProxy, configuration: Make
) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"
    faulty_api.register(invoice_reader)
    fault_proxy.drop_answers(1, matching=lambda method, _path, _body: method == "DELETE")

    assert faulty_api("DELETE", path).status == 204
    assert faulty_api("GET", path).status == 404


def test_the_answer_to_a_caller_lost_on_the_way_is_no_false_409(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()

    with FaultProxy(api.url) as between:
        unlucky = ApiClient(between.url)
        between.drop_answers(1, matching=lambda method, _path, _body: method == "POST")
        with pytest.raises(ConnectionError):
            unlucky("POST", "/bots", invoice_reader)
        repeated: Reply = unlucky("POST", "/bots", invoice_reader)

    assert repeated.status == 200
    listed = api("GET", f"/bots?name_prefix={invoice_reader['name']}").json["bots"]
    assert [bot["name"] for bot in listed] == [invoice_reader["name"]]


def test_truncated_and_slow_answers_are_a_503_as_well(
    faulty_api: ApiClient, fault_proxy: FaultProxy, configuration: Make
) -> None:
    invoice_reader = configuration()
    faulty_api.register(invoice_reader)

    fault_proxy.truncate()
    truncated = faulty_api("GET", f"/bots/{invoice_reader['name']}")
    fault_proxy.slow(3)
    slow = faulty_api("GET", f"/bots/{invoice_reader['name']}")

    assert (truncated.status, slow.status) == (503, 503)
