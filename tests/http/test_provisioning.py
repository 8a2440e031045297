from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.stack import listen, stack
from tests.proxies import SigningProxy
from tests.support import ApiClient, at_once, eventually

Make = Callable[..., dict[str, Any]]
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def api_without_sagemaker(signed_opensearch: SigningProxy) -> Iterator[ApiClient]:
    with stack(signed_opensearch.url, listen(0), workers=1, extra={"AWS_ENDPOINT_URL_SAGEMAKER": NOBODY}) as running:
        yield ApiClient(running.url, running.aws_url)


@pytest.fixture(scope="module")
def api_without_trigger(signed_opensearch: SigningProxy) -> Iterator[ApiClient]:
    with stack(signed_opensearch.url, listen(0), workers=1, extra={"AWS_ENDPOINT_URL_LAMBDA": NOBODY}) as running:
        yield ApiClient(running.url, running.aws_url)


def in_service(api: ApiClient, name: str) -> Any:
    return eventually(lambda: api.endpoint_of(name), lambda seen: seen["status"] == "InService")


def artefacts(api: ApiClient, endpoint: str) -> tuple[list[str], list[str]]:
    """The models and endpoint configs made for an endpoint."""
    models = [model["ModelName"] for model in api.sagemaker.list_models()["Models"]]
    configs = [config["EndpointConfigName"] for config in api.sagemaker.list_endpoint_configs()["EndpointConfigs"]]
    return (
        [name for name in models if name.startswith(f"{endpoint}-")],
        [name for name in configs if name.startswith(f"{endpoint}-")],
    )


def test_model_config_and_endpoint_are_made_of_the_configuration(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration(model_s3_path="s3://models/layout.tar.gz")
    api.register(invoice_reader)
    in_service(api, invoice_reader["name"])

    endpoint = api.sagemaker.describe_endpoint(EndpointName=invoice_reader["endpoint_name"])
    config = api.sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    (variant,) = config["ProductionVariants"]
    model = api.sagemaker.describe_model(ModelName=variant["ModelName"])

    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.m5.large", 1)
    assert model["PrimaryContainer"]["Image"] == invoice_reader["endpoint_ecr_image_path"]
    assert model["PrimaryContainer"]["ModelDataUrl"] == "s3://models/layout.tar.gz"
    assert model["ExecutionRoleArn"] == "arn:aws:iam::123456789012:role/byob-Foundation-EndpointRole"
    tags = api.sagemaker.list_tags(ResourceArn=endpoint["EndpointArn"])["Tags"]
    assert tags == [{"Key": "byob:managed-by", "Value": "byob"}]


def test_an_endpoint_that_exists_is_left_alone(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    endpoint = invoice_reader["endpoint_name"]
    api.sagemaker.create_model(ModelName=f"{endpoint}-theirs", ExecutionRoleArn="arn:aws:iam::000000000000:role/their")
    variant = {
        "VariantName": "theirs",
        "ModelName": f"{endpoint}-theirs",
        "InitialInstanceCount": 2,
        "InstanceType": "ml.m5.xlarge",
    }
    api.sagemaker.create_endpoint_config(EndpointConfigName=f"{endpoint}-theirs", ProductionVariants=[variant])
    api.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=f"{endpoint}-theirs")
    before = api.sagemaker.describe_endpoint(EndpointName=endpoint)

    created = api.register(invoice_reader)

    (shown,) = created.json["endpoints"]
    assert (shown["status"], shown["managed"], shown["outdated"], shown["failure"]) == ("InService", False, False, None)
    assert api("DELETE", f"/bots/{invoice_reader['name']}?delete_endpoint=true").status == 204
    after = api.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert {**before, "ResponseMetadata": None} == {**after, "ResponseMetadata": None}
    assert artefacts(api, endpoint) == ([f"{endpoint}-theirs"], [f"{endpoint}-theirs"])


def test_each_of_several_endpoints_is_shown_by_itself(api: ApiClient, configuration: Make) -> None:
    base = configuration()["endpoint_name"]
    three = configuration(
        endpoint_name=f"{base}-text, {base}-tables,{base}-own",
        endpoint_ecr_image_path="text:1,tables:2,",
        instance_type="ml.m5.large,ml.g6e.xlarge,ml.m5.large",
    )
    api.register(three)

    def states() -> dict[str, str]:
        return {seen["name"]: seen["status"] for seen in api("GET", f"/bots/{three['name']}").json["endpoints"]}

    settled = {f"{base}-text": "InService", f"{base}-tables": "InService", f"{base}-own": "Missing"}
    eventually(states, lambda seen: seen == settled)
    own = api("GET", f"/bots/{three['name']}").json["endpoints"][2]
    assert (own["managed"], own["failure"]["code"]) == (False, "EndpointMissing")


def test_a_changed_image_shows_the_endpoint_as_outdated_and_leaves_it(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    api.register(invoice_reader)
    in_service(api, invoice_reader["name"])

    api("PATCH", f"/bots/{invoice_reader['name']}", {"endpoint_ecr_image_path": "layout:4"})

    shown = api.endpoint_of(invoice_reader["name"])
    assert (shown["status"], shown["outdated"]) == ("InService", True)
    models, configs = artefacts(api, invoice_reader["endpoint_name"])
    assert (len(models), len(configs)) == (1, 1)


def test_delete_with_the_endpoint_leaves_nothing_behind(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    endpoint = invoice_reader["endpoint_name"]
    api.register(invoice_reader)
    in_service(api, invoice_reader["name"])

    assert api("DELETE", f"/bots/{invoice_reader['name']}?delete_endpoint=true").status == 204

    eventually(lambda: artefacts(api, endpoint), lambda left: left == ([], []))
    assert endpoint not in [found["EndpointName"] for found in api.sagemaker.list_endpoints()["Endpoints"]]


def test_delete_keeps_the_endpoint_that_another_bot_names(api: ApiClient, configuration: Make) -> None:
    first = configuration()
    second = configuration(endpoint_name=first["endpoint_name"].upper())
    api.register(first)
    in_service(api, first["name"])
    api.register(second)

    assert api("DELETE", f"/bots/{first['name']}?delete_endpoint=true").status == 204

    assert in_service(api, second["name"])["managed"] is True
    assert api.sagemaker.describe_endpoint(EndpointName=first["endpoint_name"])["EndpointStatus"] == "InService"


def test_many_bots_that_name_one_new_endpoint_at_once_get_one(api: ApiClient, configuration: Make) -> None:
    shared = configuration()
    bots = [configuration(endpoint_name=shared["endpoint_name"]) for _ in range(8)]

    replies = at_once(len(bots), lambda number: api("POST", "/bots", bots[number]))

    assert {reply.status for reply in replies} == {201}
    assert all(in_service(api, bot["name"])["managed"] for bot in bots)
    models, configs = artefacts(api, shared["endpoint_name"])
    assert len(models) == len(configs) == 1


def test_plain_delete_keeps_the_endpoint(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    api.register(invoice_reader)
    in_service(api, invoice_reader["name"])

    assert api("DELETE", f"/bots/{invoice_reader['name']}").status == 204

    assert (
        api.sagemaker.describe_endpoint(EndpointName=invoice_reader["endpoint_name"])["EndpointStatus"] == "InService"
    )


def test_the_bot_is_stored_when_sagemaker_cannot_be_reached(
    api_without_sagemaker: ApiClient, configuration: Make
) -> None:
    invoice_reader = configuration()

    created = api_without_sagemaker.register(invoice_reader)

    (endpoint,) = created.json["endpoints"]
    assert (endpoint["status"], endpoint["failure"]["code"]) == ("Unknown", "SageMakerUnreachable")
    shown = api_without_sagemaker.endpoint_of(invoice_reader["name"])
    assert (shown["status"], shown["failure"]["code"]) == ("Unknown", "SageMakerUnreachable")


def test_the_bot_is_stored_when_provisioning_cannot_be_triggered_and_registering_again_mends_it(
    api: ApiClient, api_without_trigger: ApiClient, configuration: Make
) -> None:
    invoice_reader = configuration()

    created = api_without_trigger.register(invoice_reader)

    (endpoint,) = created.json["endpoints"]
    assert (endpoint["status"], endpoint["failure"]["code"]) == ("Missing", "ProvisioningNotTriggered")
    assert api_without_trigger.endpoint_of(invoice_reader["name"])["failure"] == endpoint["failure"]
    assert api("POST", "/bots", invoice_reader).status == 200
    assert in_service(api, invoice_reader["name"])["failure"] is None
