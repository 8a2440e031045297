"""What the service sends to OpenSearch, as the signature check before the node sees it."""

from collections.abc import Callable
from typing import Any

from local.stack import listen, stack
from tests.proxies import SigningProxy
from tests.support import ApiClient, eventually

Make = Callable[..., dict[str, Any]]


def test_a_read_is_two_round_trips_and_no_look_whether_something_exists(
    signed_opensearch: SigningProxy, configuration: Make
) -> None:
    invoice_reader = configuration()
    name, endpoint = invoice_reader["name"], invoice_reader["endpoint_name"]
    own = {"INDEX_PREFIX": "trips"}
    with stack(signed_opensearch.url, listen(0), workers=1, extra=own, events=False) as running:
        api = ApiClient(running.url)
        api.register(invoice_reader)
        eventually(lambda: api.endpoint_of(name), lambda seen: seen["status"] == "InService")
        signed_opensearch.reset()

        api("GET", f"/bots/{name}")
        api("GET", f"/bots?name_prefix={name}")
        api("GET", "/bots/nobody")
        api("GET", "/bots/not%20a%20name")

    sent = [(method, path) for method, path, _ in signed_opensearch.log]
    assert sent == [
        ("GET", f"/trips-bots/_doc/{name}"),
        ("POST", "/trips-endpoints/_mget"),
        ("POST", "/trips-bots/_search"),
        ("POST", "/trips-endpoints/_mget"),
        ("GET", "/trips-bots/_doc/nobody"),
    ]
    assert endpoint.encode() in signed_opensearch.log[1][2]


def test_text_of_callers_travels_in_json_bodies_alone(
    signed_opensearch: SigningProxy, api: ApiClient, configuration: Make
) -> None:
    marked = configuration(
        es_url="marker-es-url",
        file_types=".marker",
        bot_image="marker/image",
        bot_image_cmd="marker cmd",
        model_s3_path="s3://marker/model",
    )
    signed_opensearch.reset()

    api.register(marked)
    api("PATCH", f"/bots/{marked['name']}", {"bot_image_cmd": "marker again"})
    api("GET", "/bots?file_type=.marker&endpoint_name=marker&name_prefix=marker")
    api("GET", "/bots/marker%2F_search%3Fq=marker")

    assert any(b"marker" in body for _, _, body in signed_opensearch.log)
    assert not any("marker" in path for _, path, _ in signed_opensearch.log)
    assert not any("script" in path or b'"script"' in body for _, path, body in signed_opensearch.log)
