import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import ApiClient, at_once, eventually

Make = Callable[..., dict[str, Any]]
SAMPLE = Path(__file__).parents[2] / "byob" / "bot_config.json"


def test_the_sample_registers_as_it_is_and_is_read_back_whole(api: ApiClient) -> None:
    sample = json.loads(SAMPLE.read_text())

    created = api("POST", "/bots", SAMPLE.read_bytes(), {"Content-Type": "application/x-www-form-urlencoded"})

    assert created.status == 201
    assert created.headers["location"] == "/bots/foo_bot"
    read = api("GET", "/bots/foo_bot")
    assert read.status == 200
    set_by_service = {"create_date", "update_date"}
    assert {**sample, **{field: read.json[field] for field in set_by_service}}.items() <= read.json.items()
    assert read.json.keys() == sample.keys() | {"bot_vcpu", "bot_mem", "endpoints"}
    assert read.json["create_date"] != sample["create_date"]


def test_the_same_configuration_again_is_no_error(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    first = api.register(invoice_reader)

    again = api("POST", "/bots", invoice_reader)

    assert again.status == 200
    assert again.json["create_date"] == first.json["create_date"]
    assert "location" not in again.headers


def test_another_configuration_under_a_taken_name_is_refused(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    api.register(invoice_reader)

    refused = api("POST", "/bots", {**invoice_reader, "bot_image": "somebody/else:1"})

    assert refused.status == 409
    assert refused.headers["content-type"] == "application/problem+json"
    assert "bot_image" in refused.json["detail"]
    assert api("GET", f"/bots/{invoice_reader['name']}").json["bot_image"] == invoice_reader["bot_image"]


def test_what_was_read_can_be_edited_and_sent_back(api: ApiClient, configuration: Make) -> None:
    name = api.register(configuration(bot_vcpu="2", bot_mem=2048.0)).json["name"]
    read = api("GET", f"/bots/{name}")

    replaced = api("PUT", f"/bots/{name}", {**read.json, "bot_image_cmd": "--fast"}, {"If-Match": read.etag})

    assert replaced.status == 200
    assert replaced.json["bot_image_cmd"] == "--fast"
    assert (replaced.json["bot_vcpu"], replaced.json["bot_mem"]) == (2, 2048)
    assert replaced.json["create_date"] == read.json["create_date"]


@pytest.mark.parametrize("absent", [None, ""])
def test_absent_null_and_empty_are_one(api: ApiClient, configuration: Make, absent: str | None) -> None:
    invoice_reader = configuration()
    api.register(invoice_reader)
    optional = ["es_url", "bot_image_cmd", "model_s3_path", "bot_vcpu", "bot_mem"]

    again = api("POST", "/bots", {**invoice_reader, **dict.fromkeys(optional, absent)})

    assert again.status == 200
    assert [again.json[field] for field in optional] == [""] * 5


def test_bot_name_is_another_word_for_name(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    name = invoice_reader.pop("name")

    created = api("POST", "/bots", {**invoice_reader, "bot_name": name})

    assert created.status == 201
    assert created.json["name"] == name
    assert "bot_name" not in created.json


def test_file_types_may_be_a_list_and_are_shown_as_a_comma_string(api: ApiClient, configuration: Make) -> None:
    created = api.register(configuration(file_types=[".JPG", " .tar.gz"]))

    assert created.json["file_types"] == ".JPG,.tar.gz"


def test_fifty_creates_of_one_name_at_once_give_one_201(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()

    replies = at_once(50, lambda number: api("POST", "/bots", {**invoice_reader, "bot_image": f"image:{number}"}))

    assert sorted(reply.status for reply in replies) == [201] + [409] * 49
    (created,) = [reply for reply in replies if reply.status == 201]
    assert api("GET", f"/bots/{invoice_reader['name']}").json["bot_image"] == created.json["bot_image"]


def test_put_creates_then_replaces(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"

    created = api("PUT", path, invoice_reader)
    replaced = api("PUT", path, {**invoice_reader, "es_url": "https://search.example.com"})
    unchanged = api("PUT", path, {**invoice_reader, "es_url": "https://search.example.com"})

    assert (created.status, replaced.status, unchanged.status) == (201, 200, 200)
    assert created.headers["location"] == path
    assert replaced.json["es_url"] == "https://search.example.com"
    assert unchanged.etag.partition(".")[0] == replaced.etag.partition(".")[0] != created.etag.partition(".")[0]


def test_put_takes_the_name_from_the_path_and_refuses_another_one(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    name = invoice_reader.pop("name")

    created = api("PUT", f"/bots/{name}", invoice_reader)
    refused = api("PUT", f"/bots/{name}", {**invoice_reader, "name": "receipt-reader"})

    assert created.status == 201
    assert (refused.status, refused.pointers) == (422, ["/name"])


def test_patch_merges_and_null_takes_a_field_away(api: ApiClient, configuration: Make) -> None:
    name = api.register(configuration(es_url="search.example.com", bot_vcpu=4)).json["name"]

    patched = api("PATCH", f"/bots/{name}", {"bot_vcpu": None, "bot_image": "invoice-reader:8"})

    assert patched.status == 200
    assert (patched.json["bot_vcpu"], patched.json["bot_image"]) == ("", "invoice-reader:8")
    assert patched.json["es_url"] == "search.example.com"


def test_patch_refuses_what_a_configuration_could_not_be(api: ApiClient, configuration: Make) -> None:
    name = api.register(configuration()).json["name"]

    refused = api("PATCH", f"/bots/{name}", {"bot_image": None, "file_types": "pdf", "colour": "red"})
    renamed = api("PATCH", f"/bots/{name}", {"name": "receipt-reader"})
    no_object = api("PATCH", f"/bots/{name}", ["bot_image"])

    assert (refused.status, sorted(refused.pointers)) == (422, ["/bot_image", "/colour", "/file_types"])
    assert (renamed.status, renamed.pointers) == (422, ["/name"])
    assert (no_object.status, no_object.pointers) == (422, [""])
    assert api("PATCH", "/bots/nobody", {"bot_image": "x"}).status == 404


def test_delete_unregisters(api: ApiClient, configuration: Make) -> None:
    name = api.register(configuration()).json["name"]

    deleted = api("DELETE", f"/bots/{name}")

    assert (deleted.status, deleted.body) == (204, b"")
    assert api("GET", f"/bots/{name}").status == 404
    assert api("DELETE", f"/bots/{name}").status == 404


def test_health_tells_that_the_registry_is_reached(api: ApiClient) -> None:
    assert api("GET", "/health").json == {"status": "ok"}


def test_a_bot_can_be_listed_right_after_the_201(api: ApiClient, configuration: Make) -> None:
    name = api.register(configuration()).json["name"]

    listed = api("GET", f"/bots?name_prefix={name}")

    assert [bot["name"] for bot in listed.json["bots"]] == [name]
    assert listed.json["bots"][0].keys() == api("GET", f"/bots/{name}").json.keys()


def test_a_missing_endpoint_is_made_and_its_state_shown(api: ApiClient, configuration: Make) -> None:
    name = api.register(configuration()).json["name"]

    endpoint = eventually(lambda: api.endpoint_of(name), lambda seen: seen["status"] == "InService")

    assert endpoint["managed"] is True
    assert (endpoint["outdated"], endpoint["failure"]) == (False, None)
