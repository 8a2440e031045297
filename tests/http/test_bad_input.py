import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import ApiClient, Reply

Make = Callable[..., dict[str, Any]]

NOT_JSON: dict[str, bytes] = {
    "empty": b"",
    "white space": b" \n",
    "malformed": b'{"name": "invoice-reader",}',
    "cut off": b'{"name": "inv',
    "nested 30,000 deep": b"[" * 30_000 + b"]" * 30_000,
    "a 5,000-digit number": b'{"bot_vcpu": ' + b"9" * 5000 + b"}",
    "not a number": b'{"bot_vcpu": NaN}',
    "infinite": b'{"bot_vcpu": -Infinity}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "a lone surrogate in a key": b'{"\\udfff": 1}',
    "a key twice": b'{"name": "a", "name": "b"}',
    "binary": bytes(range(256)),
    "UTF-16": '{"name": "invoice-reader"}'.encode("utf-16"),
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
@pytest.mark.parametrize("call", ["POST /bots", "PUT /bots/invoice-reader", "PATCH /bots/invoice-reader"])
def test_a_body_that_cannot_be_read_is_a_400(api: ApiClient, call: str, body: bytes) -> None:
    method, path = call.split()

    refused = api(method, path, body)

    assert_problem(refused, 400)


@pytest.mark.parametrize("length", [65_537, 200_000])
def test_a_body_over_64_kib_is_a_413(api: ApiClient, configuration: Make, length: int) -> None:
    body = json.dumps(configuration(es_url="")).encode().ljust(length)

    assert_problem(api("POST", "/bots", body), 413)
    assert_problem(api("POST", "/bots", b"[" * 100_000 + b"]" * 100_000), 413)
    assert_problem(api("POST", "/bots", base64.b64encode(body)), 413)


def test_a_body_of_64_kib_and_one_with_a_byte_order_mark_are_read(api: ApiClient, configuration: Make) -> None:
    full = json.dumps(configuration()).encode().ljust(65_536)
    marked = b"\xef\xbb\xbf" + json.dumps(configuration()).encode()

    assert api("POST", "/bots", full).status == 201
    assert api("POST", "/bots", marked).status == 201


@pytest.mark.parametrize("body", [[], "invoice-reader", 7, None, True])
def test_json_that_is_no_object_is_a_422(api: ApiClient, body: object) -> None:
    refused = api("POST", "/bots", json.dumps(body).encode())

    assert_problem(refused, 422)
    assert refused.json["errors"] == [{"pointer": "", "detail": "must be a JSON object"}]


def test_all_violations_are_told_at_once(api: ApiClient) -> None:
    refused = api(
        "POST",
        "/bots",
        {
            "name": "invoice reader",
            "bot_nmae": "invoice-reader",
            "es_url": 7,
            "file_types": "pdf,.tiff",
            "bot_image": "an image",
            "bot_image_cmd": "echo 'unclosed",
            "endpoint_name": "layout,-tables,LAYOUT",
            "endpoint_ecr_image_path": "layout:1",
            "instance_type": "m5.large",
            "model_s3_path": "https://example.com/model",
            "bot_vcpu": 0.5,
            "bot_mem": "much",
            "a/b~c": 1,
        },
    )

    assert_problem(refused, 422)
    assert sorted(refused.pointers) == [
        "/a~1b~0c",
        "/bot_image",
        "/bot_image_cmd",
        "/bot_mem",
        "/bot_nmae",
        "/bot_vcpu",
        "/endpoint_name",
        "/es_url",
        "/file_types",
        "/instance_type",
        "/model_s3_path",
        "/name",
    ]
    by_field = {error["pointer"]: error["detail"] for error in refused.json["errors"]}
    assert by_field["/bot_nmae"] == "is not a field of a bot configuration; did you mean bot_name?"
    assert "item 2 ('-tables')" in by_field["/endpoint_name"]


def test_what_is_required_is_named(api: ApiClient) -> None:
    refused = api("POST", "/bots", {"file_types": None, "bot_image": ""})

    assert sorted(refused.json["errors"], key=lambda error: str(error["pointer"])) == [
        {"pointer": f"/{field}", "detail": "is required"}
        for field in ["bot_image", "endpoint_name", "file_types", "instance_type", "name"]
    ]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "a" * 64, "1 to 63 letters"),
        ("name", "-reader", "1 to 63 letters"),
        ("name", "reader/..", "1 to 63 letters"),
        ("name", "reader%2e", "1 to 63 letters"),
        ("name", "lecteur-🤖", "1 to 63 letters"),
        ("name", "reader\n", "1 to 63 letters"),
        ("bot_name", "receipt-reader", "must not differ"),
        ("file_types", [".pdf", 7], "item 2"),
        ("file_types", ".pdf,,.tiff", "item 2"),
        ("file_types", [], "is required"),
        ("file_types", ".p df", "item 1"),
        ("bot_image", "x" * 256, "1 to 255 characters"),
        ("bot_image", "bot:1\0", "control characters"),
        ("bot_image_cmd", "run\0", "NUL"),
        ("es_url", "a\x1b[31m", "control characters"),
        ("es_url", "x" * 8193, "at most 8192"),
        ("endpoint_name", "layout_1", "letters, digits and hyphens"),
        ("endpoint_name", "layout-", "letters, digits and hyphens"),
        ("endpoint_name", "l" * 64, "letters, digits and hyphens"),
        ("endpoint_name", ",".join(f"layout-{number}" for number in range(11)), "at most 10"),
        ("endpoint_name", "layout,Layout", "named twice"),
        ("endpoint_ecr_image_path", "a:1,b:1", "one item for each endpoint: 1, not 2"),
        ("instance_type", "ml.m5.large,ml.m5.large", "one item for each endpoint: 1, not 2"),
        ("instance_type", "ml.m5", "instance type such as"),
        ("model_s3_path", "s3://Bucket/model", "an S3 object such as"),
        ("model_s3_path", "s3://bucket/", "an S3 object such as"),
        ("model_s3_path", "s3://bucket/" + "k" * 1024, "at most 1024"),
        ("bot_vcpu", True, "a whole number of vCPUs"),
        ("bot_vcpu", "1e3", "a whole number of vCPUs"),
        ("bot_vcpu", [], "a whole number of vCPUs"),
        ("bot_mem", 3, "a whole number of MiB, 4 or more"),
        ("bot_mem", 2**31, "a whole number of MiB"),
    ],
)
def test_a_broken_rule_is_named(api: ApiClient, configuration: Make, field: str, value: object, sentence: str) -> None:
    refused = api("POST", "/bots", configuration(**{field: value}))

    assert_problem(refused, 422)
    (error,) = refused.json["errors"]
    assert error["pointer"] == f"/{field}"
    assert sentence in error["detail"]


def test_nothing_of_a_refused_request_is_stored(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration(instance_type="large")

    assert api("POST", "/bots", invoice_reader).status == 422
    assert api("PUT", f"/bots/{invoice_reader['name']}", invoice_reader).status == 422
    assert api("GET", f"/bots/{invoice_reader['name']}").status == 404


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "ctx._source.remove('name');doc['x'].value",
        '{"query":{"match_all":{}}}',
        "'; DROP TABLE bots; --",
        "${jndi:ldap://127.0.0.1/a}",
        "../../_cluster/settings?pretty",
        "%2e%2e%2f_all",
        "“quoted” — ünïcødé 机器人 🤖",
        "{{7*7}}",
        "\\u0000\\",
    ],
)
def test_text_that_looks_like_a_script_or_a_query_is_kept_verbatim(
    api: ApiClient, configuration: Make, text: str
) -> None:
    solid = text.replace(" ", "_").replace(",", ".")
    fields = {
        "es_url": text,
        "bot_image": solid,
        "bot_image_cmd": json.dumps(text),
        "endpoint_ecr_image_path": solid,
        "model_s3_path": f"s3://models/{solid}",
        "file_types": "." + solid.replace("/", "_")[:60],
    }

    created = api.register(configuration(**fields))

    read = api("GET", f"/bots/{created.json['name']}").json
    assert {field: read[field] for field in fields} == fields


@pytest.mark.parametrize(
    "name", ["a/b", "..", ".", "50%", "%", "lecteur-🤖", "a" * 64, "_all", "*", "a b", "a\0b", "a\nb", "_mget"]
)
def test_a_name_that_no_bot_can_have_is_not_found_and_cannot_be_put(
    api: ApiClient, configuration: Make, name: str
) -> None:
    path = "/bots/" + quote(name, safe="")
    invoice_reader = configuration(name=None)

    assert_problem(api("GET", path), 404)
    assert_problem(api("DELETE", path), 404)
    assert_problem(api("PATCH", path, {}), 404)
    refused = api("PUT", path, invoice_reader)
    assert_problem(refused, 422)
    assert refused.pointers == ["/name"]


@pytest.mark.parametrize("value", ["yes", "TRUE", "1", ""])
def test_a_flag_is_true_or_false(api: ApiClient, value: str) -> None:
    refused = api("DELETE", f"/bots/nobody?delete_endpoint={value}")

    assert (refused.status, refused.pointers) == (400, ["/delete_endpoint"])


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/bots", "GET, POST"),
        ("POST", "/bots/invoice-reader", "GET, PUT, PATCH, DELETE"),
        ("HEAD", "/bots", "GET, POST"),
        ("OPTIONS", "/health", "GET"),
        ("TRACE", "/bots?validate_only=true&limit=1&limit=2", "GET, POST"),
    ],
)
def test_a_wrong_method_is_a_405(api: ApiClient, method: str, path: str, allow: str) -> None:
    refused = api(method, path)

    assert (refused.status, refused.headers["allow"]) == (405, allow)


@pytest.mark.parametrize("path", ["/", "/bot", "/bots/a/b", "/BOTS", "/bots//", "/healthz"])
def test_an_unknown_path_is_a_403_as_for_a_call_that_is_not_signed(api: ApiClient, path: str) -> None:
    refused = api("GET", path)

    assert_problem(refused, 403)
    assert refused.json["detail"] == "the request is not signed with AWS credentials, or this API has no such path"


def test_a_body_over_10_mb_is_a_413_of_the_gateways(api: ApiClient) -> None:
    refused = api("POST", "/bots", b" " * (10 * 1024 * 1024 + 1))

    assert_problem(refused, 413)
    assert refused.json["detail"] == "the body is larger than the 10 MB that API Gateway takes"
    assert refused.json["request_id"] == refused.headers["x-amz-apigw-id"]


def assert_problem(reply: Reply, status: int) -> None:
    """RFC 9457, with the request id that leads to the log."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json["status"] == status
    assert reply.json["type"].startswith("urn:byob:")
    assert reply.json["request_id"]
    assert reply.json["detail"]
