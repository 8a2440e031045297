"""What the service sends to OpenSearch, as the signature check before the node sees it."""

from collections.abc import Callable
from typing import Any

from local.aws import ROLE_ARN
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
        api = ApiClient(running.url, running.aws_url)
        api.register(invoice_reader)
        eventually(lambda: api.endpoint_of(name), lambda seen: seen["status"] == "InService")
        # Its one environment does this when it has done what the registration had it do.
        api.aws("lambda").invoke(FunctionName="ProvisionEndpoint", Payload=b'{"endpoints": []}')
        signed_opensearch.forget_log()

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


def test_a_registration_is_two_round_trips_where_its_endpoint_is_known_to_be_in_service(
    signed_opensearch: SigningProxy, configuration: Make
) -> None:
    known = configuration(endpoint_name="run-by-the-author", endpoint_ecr_image_path=None)
    named_again = configuration(endpoint_name="run-by-the-author", endpoint_ecr_image_path=None)
    own = {"INDEX_PREFIX": "known"}
    with stack(signed_opensearch.url, listen(0), workers=1, extra=own, events=False) as running:
        api = ApiClient(running.url, running.aws_url)
        put_in_service(api.sagemaker, "run-by-the-author")
        api.register(known)
        signed_opensearch.forget_log()

        created = api.register(named_again)

    (endpoint,) = created.json["endpoints"]
    assert (endpoint["status"], endpoint["managed"]) == ("InService", False)
    assert [(method, path.partition("?")[0]) for method, path, _ in signed_opensearch.log] == [
        ("PUT", f"/known-bots/_doc/{named_again['name']}"),
        ("POST", "/known-endpoints/_mget"),
    ]


def test_a_registration_is_three_round_trips_where_nobody_has_named_its_endpoint_before(
    signed_opensearch: SigningProxy, configuration: Make
) -> None:
    invoice_reader = configuration(endpoint_ecr_image_path=None)
    own = {"INDEX_PREFIX": "unknown"}
    with stack(signed_opensearch.url, listen(0), workers=1, extra=own, events=False) as running:
        api = ApiClient(running.url)
        api.register(configuration(endpoint_ecr_image_path=None))  # which makes the indices
        signed_opensearch.forget_log()

        created = api.register(invoice_reader)

        sent = [(method, path.partition("?")[0]) for method, path, _ in signed_opensearch.log]
    assert created.json["endpoints"][0]["status"] == "Missing"
    assert sent == [
        ("PUT", f"/unknown-bots/_doc/{invoice_reader['name']}"),
        ("POST", "/unknown-endpoints/_mget"),
        ("PUT", f"/unknown-endpoints/_doc/{invoice_reader['endpoint_name']}"),
    ]


def put_in_service(sagemaker: Any, endpoint: str) -> None:
    """Make an endpoint that is not ours."""
    variant = {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "layout:1"}, ExecutionRoleArn=ROLE_ARN)
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName="c")
    eventually(
        lambda: sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"], lambda seen: seen == "InService"
    )


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
    signed_opensearch.forget_log()

    api.register(marked)
    api("PATCH", f"/bots/{marked['name']}", {"bot_image_cmd": "marker again"})
    api("GET", "/bots?file_type=.marker&endpoint_name=marker&name_prefix=marker")
    api("GET", "/bots/marker%2F_search%3Fq=marker")

    assert any(b"marker" in body for _, _, body in signed_opensearch.log)
    assert not any("marker" in path for _, path, _ in signed_opensearch.log)
    assert not any("script" in path or b'"script"' in body for _, path, body in signed_opensearch.log)
