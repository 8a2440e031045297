import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.aws import CREDENTIALS, REGION, EmulatedAws
from local.sagemaker import IMAGE_NOT_FOUND, PING_FAILED, Fault, LocalSageMaker
from local.workers import Workers
from tests.support import check, eventually

SHORTLY = 0.2
FOREVER = 3600.0
OWNER = {"Key": "byob:managed-by", "Value": "byob"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def aws() -> Iterator[EmulatedAws]:
    aws = EmulatedAws(moving_seconds=0)
    aws.start(cast(Workers, None))  # no Lambda function is invoked here
    yield aws
    aws.stop()


@pytest.fixture
def sagemaker(aws: EmulatedAws) -> Iterator[LocalSageMaker]:
    aws.sagemaker.moving_seconds = 0
    yield aws.sagemaker
    aws.sagemaker.on_change = None


@pytest.fixture(scope="module")
def client(aws: EmulatedAws) -> Any:
    """A client that checks every answer against botocore's service model."""
    return client_of(aws)


@pytest.fixture
def events(sagemaker: LocalSageMaker) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    sagemaker.on_change = events.append
    return events


@pytest.fixture
def layout(client: Any) -> str:
    """The name of an endpoint that is not there yet; `<name>-3` and `<name>-4` are its models and configs."""
    name = f"layout{next(_numbers)}"
    for version in (3, 4):
        artefact = f"{name}-{version}"
        client.create_model(ModelName=artefact, ExecutionRoleArn="arn:aws:iam::000000000000:role/byob-endpoint")
        client.create_endpoint_config(EndpointConfigName=artefact, ProductionVariants=[variant(artefact)])
    return name


def client_of(aws: EmulatedAws) -> Any:
    client = boto3.client(
        "sagemaker",
        endpoint_url=aws.url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.meta.events.register("after-call.sagemaker", check_answer)
    return client


def check_answer(http_response: Any, parsed: Any, model: Any, **_: Any) -> None:
    if http_response.status_code == 200:
        check(json.loads(http_response.content or b"{}"), model.output_shape)
    else:
        assert http_response.status_code == 400
        assert all(parsed["Error"][member] for member in ("Code", "Message"))


def variant(model: str, instance_type: str = "ml.m5.large") -> dict[str, Any]:
    return {"VariantName": "AllTraffic", "ModelName": model, "InstanceType": instance_type, "InitialInstanceCount": 1}


def create(client: Any, name: str, version: int = 3) -> str:
    arn: str = client.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-{version}", Tags=[OWNER])[
        "EndpointArn"
    ]
    return arn


def update(client: Any, name: str, version: int = 4) -> str:
    arn: str = client.update_endpoint(EndpointName=name, EndpointConfigName=f"{name}-{version}")["EndpointArn"]
    return arn


def status_of(client: Any, name: str) -> str:
    status: str = client.describe_endpoint(EndpointName=name)["EndpointStatus"]
    return status


def refusal(call: Any, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


def arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:123456789012:{kind}/{name}"


def told(events: list[dict[str, Any]], count: int) -> list[tuple[str, str]]:
    """Wait for so many events: states and configs."""
    seen = eventually(lambda: list(events), lambda seen: len(seen) >= count)
    return [(event["detail"]["EndpointStatus"], event["detail"]["EndpointConfigName"][-1:]) for event in seen]


def test_a_new_endpoint_is_creating_for_a_while(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    sagemaker.moving_seconds = SHORTLY

    created = create(client, layout)

    assert created == arn("endpoint", layout)
    assert status_of(client, layout) == "Creating"
    eventually(lambda: status_of(client, layout), lambda status: status == "InService")


def test_an_endpoint_is_shown_with_config_variants_and_tags(
    sagemaker: LocalSageMaker, client: Any, layout: str
) -> None:
    create(client, layout)

    shown = client.describe_endpoint(EndpointName=layout)

    assert (shown["EndpointName"], shown["EndpointConfigName"]) == (layout, f"{layout}-3")
    assert shown["ProductionVariants"] == [
        {"VariantName": "AllTraffic", "CurrentInstanceCount": 1, "DesiredInstanceCount": 1}
    ]
    assert "FailureReason" not in shown
    assert client.list_tags(ResourceArn=shown["EndpointArn"])["Tags"] == [OWNER]


def test_an_update_shows_the_old_config_until_the_new_one_is_in_service(
    sagemaker: LocalSageMaker, client: Any, layout: str
) -> None:
    create(client, layout)
    before = client.describe_endpoint(EndpointName=layout)
    sagemaker.moving_seconds = SHORTLY

    assert update(client, layout) == before["EndpointArn"]

    during = client.describe_endpoint(EndpointName=layout)
    assert (during["EndpointStatus"], during["EndpointConfigName"]) == ("Updating", f"{layout}-3")
    after = eventually(
        lambda: client.describe_endpoint(EndpointName=layout), lambda seen: seen["EndpointStatus"] == "InService"
    )
    assert after["EndpointConfigName"] == f"{layout}-4"
    assert after["CreationTime"] == before["CreationTime"]
    assert before["LastModifiedTime"] < during["LastModifiedTime"] < after["LastModifiedTime"]


def test_a_deleted_endpoint_is_deleting_and_then_gone(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    endpoint_arn = create(client, layout)
    assert status_of(client, layout) == "InService"
    sagemaker.moving_seconds = SHORTLY

    client.delete_endpoint(EndpointName=layout)

    assert status_of(client, layout) == "Deleting"
    assert refusal(client.create_endpoint, EndpointName=layout, EndpointConfigName=f"{layout}-3") == (
        "ValidationException",
        f'Cannot create already existing endpoint "{endpoint_arn}".',
    )
    eventually(lambda: client.list_endpoints(NameContains=layout)["Endpoints"], lambda left: left == [])
    gone = ("ValidationException", f'Could not find endpoint "{endpoint_arn}".')
    assert refusal(client.describe_endpoint, EndpointName=layout) == gone
    assert refusal(client.delete_endpoint, EndpointName=layout) == gone
    assert refusal(client.list_tags, ResourceArn=endpoint_arn) == gone


def test_models_and_configs_that_are_missing_are_said_to_be(sagemaker: LocalSageMaker, client: Any) -> None:
    missing_model = ("ValidationException", f'Could not find model "{arn("model", "nope")}".')
    missing_config = (
        "ValidationException",
        f'Could not find endpoint configuration "{arn("endpoint-config", "nope")}".',
    )

    assert refusal(client.describe_model, ModelName="nope") == missing_model
    assert refusal(client.delete_model, ModelName="nope") == missing_model
    assert refusal(client.describe_endpoint_config, EndpointConfigName="nope") == missing_config
    assert refusal(client.delete_endpoint_config, EndpointConfigName="nope") == missing_config
    assert refusal(client.create_endpoint, EndpointName="new", EndpointConfigName="nope") == missing_config
    assert (
        refusal(client.create_endpoint_config, EndpointConfigName="new", ProductionVariants=[variant("nope")])
        == missing_model
    )


def test_names_that_exist_are_refused(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    create(client, layout)
    artefact = f"{layout}-3"

    assert refusal(client.create_model, ModelName=artefact) == (
        "ValidationException",
        f'Cannot create already existing model "{arn("model", artefact)}".',
    )
    assert refusal(
        client.create_endpoint_config, EndpointConfigName=artefact, ProductionVariants=[variant(artefact)]
    ) == (
        "ValidationException",
        f'Cannot create already existing endpoint configuration "{arn("endpoint-config", artefact)}".',
    )
    assert refusal(client.create_endpoint, EndpointName=layout.upper(), EndpointConfigName=artefact) == (
        "ValidationException",
        f'Cannot create already existing endpoint "{arn("endpoint", layout)}".',
    )


@pytest.mark.parametrize("status", ["Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"])
def test_an_endpoint_that_moves_is_neither_updated_nor_deleted(
    sagemaker: LocalSageMaker, client: Any, layout: str, status: str
) -> None:
    in_progress = ("ValidationException", f'Cannot update in-progress endpoint "{create(client, layout)}".')

    sagemaker.set_state(layout, status)

    assert status_of(client, layout) == status
    assert refusal(client.update_endpoint, EndpointName=layout, EndpointConfigName=f"{layout}-4") == in_progress
    assert refusal(client.delete_endpoint, EndpointName=layout) == in_progress


@pytest.mark.parametrize("status", ["OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_that_has_settled_can_be_updated(
    sagemaker: LocalSageMaker, client: Any, layout: str, status: str
) -> None:
    create(client, layout)
    sagemaker.set_state(layout, status)

    update(client, layout)

    assert client.describe_endpoint(EndpointName=layout)["EndpointConfigName"] == f"{layout}-4"


def test_a_state_set_by_hand_stays(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    sagemaker.moving_seconds = SHORTLY
    create(client, layout)
    sagemaker.set_state(layout, "OutOfService", reason="out for lunch")

    other = f"{layout}-other"
    client.create_endpoint(EndpointName=other, EndpointConfigName=f"{layout}-3")
    eventually(lambda: status_of(client, other), lambda status: status == "InService")

    shown = client.describe_endpoint(EndpointName=layout)
    assert (shown["EndpointStatus"], shown["FailureReason"]) == ("OutOfService", "out for lunch")


def test_an_update_to_a_config_that_is_missing_is_refused(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    create(client, layout)

    assert refusal(client.update_endpoint, EndpointName=layout, EndpointConfigName="nope") == (
        "ValidationException",
        f'Could not find endpoint configuration "{arn("endpoint-config", "nope")}".',
    )
    assert status_of(client, layout) == "InService"


def test_instance_types_are_those_of_the_service(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    (known, *_) = reversed(client.meta.service_model.shape_for("ProductionVariantInstanceType").enum)
    client.create_endpoint_config(EndpointConfigName=f"{layout}-5", ProductionVariants=[variant(f"{layout}-3", known)])

    code, message = refusal(
        client.create_endpoint_config,
        EndpointConfigName=f"{layout}-6",
        ProductionVariants=[variant(f"{layout}-3", "ml.t3.medium")],
    )

    assert code == "ValidationException"
    assert message.startswith(
        "1 validation error detected: Value 'ml.t3.medium' at 'productionVariants.1.member.instanceType' failed to "
        "satisfy constraint: Member must satisfy enum value set: [ml.t2.medium, "
    )


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault.QUOTA, "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances, with current"),
        (Fault.ACCESS_DENIED, "is not authorized to perform: sagemaker:CreateEndpoint on resource: arn:aws:sagemaker:"),
        (Fault.THROTTLING, "Rate exceeded"),
        (Fault.CONFIG_NOT_VISIBLE, 'Could not find endpoint configuration "arn:aws:sagemaker:'),
    ],
)
def test_an_ordered_refusal_strikes_as_often_as_ordered(
    sagemaker: LocalSageMaker, client: Any, layout: str, fault: Fault, sentence: str
) -> None:
    sagemaker.order(fault, endpoint=layout.upper(), times=2)

    refused = [refusal(create, client=client, name=layout) for _ in range(2)]

    assert all(code == fault.value and sentence in message for code, message in refused), refused
    create(client, layout)
    assert status_of(client, layout) == "InService"


def test_a_quota_strikes_an_update_and_leaves_the_endpoint(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    create(client, layout)
    sagemaker.order(Fault.QUOTA, endpoint=layout)

    assert refusal(update, client=client, name=layout)[0] == "ResourceLimitExceeded"

    shown = client.describe_endpoint(EndpointName=layout)
    assert (shown["EndpointStatus"], shown["EndpointConfigName"]) == ("InService", f"{layout}-3")


def test_any_operation_of_one_endpoint_can_be_refused(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    endpoint_arn = create(client, layout)
    for operation in ("DescribeEndpoint", "DeleteModel", "ListTags"):
        sagemaker.order(Fault.ACCESS_DENIED, endpoint=layout, operation=operation)
    sagemaker.order(Fault.THROTTLING, endpoint="another", operation="DescribeEndpointConfig")

    assert refusal(client.describe_endpoint, EndpointName=layout)[0] == "AccessDeniedException"
    assert refusal(client.delete_model, ModelName=f"{layout}-4")[0] == "AccessDeniedException"
    assert refusal(client.list_tags, ResourceArn=endpoint_arn)[0] == "AccessDeniedException"

    assert status_of(client, layout) == "InService"
    client.describe_endpoint_config(EndpointConfigName=f"{layout}-3")
    client.delete_model(ModelName=f"{layout}-4")


@pytest.mark.parametrize("reason", [IMAGE_NOT_FOUND, ""])
def test_an_endpoint_that_failed_can_only_be_deleted(
    sagemaker: LocalSageMaker, client: Any, layout: str, reason: str
) -> None:
    sagemaker.order(Fault.FAILURE, endpoint=layout, reason=reason)
    endpoint_arn = create(client, layout)

    shown = client.describe_endpoint(EndpointName=layout)

    assert (shown["EndpointStatus"], shown.get("FailureReason", "")) == ("Failed", reason)
    assert ("FailureReason" in shown) is bool(reason)
    assert refusal(update, client=client, name=layout) == (
        "ValidationException",
        f'Cannot update failed endpoint "{endpoint_arn}".',
    )
    client.delete_endpoint(EndpointName=layout)
    create(client, layout)
    assert status_of(client, layout) == "InService"


@pytest.mark.parametrize(
    "fails",
    [
        (Fault.SILENT_ROLLBACK, "", ["UPDATING", "IN_SERVICE"]),
        (Fault.ROLLBACK, PING_FAILED, ["UPDATING", "ROLLING_BACK", "IN_SERVICE"]),
        (Fault.ROLLBACK_FAILURE, PING_FAILED, ["UPDATING", "UPDATE_ROLLBACK_FAILED"]),
        (Fault.FAILURE, PING_FAILED, ["UPDATING", "FAILED"]),
    ],
)
def test_an_update_that_fails_leaves_the_old_config(
    sagemaker: LocalSageMaker,
    client: Any,
    layout: str,
    events: list[dict[str, Any]],
    fails: tuple[Fault, str, list[str]],
) -> None:
    fault, reason, states = fails
    create(client, layout)
    sagemaker.order(fault, endpoint=layout, operation="UpdateEndpoint", reason=reason)

    update(client, layout)

    assert told(events, 2 + len(states))[2:] == [(state, "3") for state in states]
    assert events[-1]["detail"].get("FailureReason", "") == reason
    shown = client.describe_endpoint(EndpointName=layout)
    assert (shown["EndpointConfigName"], shown.get("FailureReason", "")) == (f"{layout}-3", reason)


def test_a_rollback_waits_for_the_update(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    sagemaker.order(Fault.SILENT_ROLLBACK, endpoint=layout)
    create(client, layout)

    update(client, layout)
    assert client.describe_endpoint(EndpointName=layout)["EndpointConfigName"] == f"{layout}-3"

    update(client, layout)
    assert client.describe_endpoint(EndpointName=layout)["EndpointConfigName"] == f"{layout}-4"


def test_everything_can_be_listed(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    create(client, layout)
    sagemaker.set_state(layout, "UpdateRollbackFailed")

    models = [model["ModelName"] for model in client.list_models()["Models"]]
    configs = [config["EndpointConfigName"] for config in client.list_endpoint_configs()["EndpointConfigs"]]
    endpoints = [(seen["EndpointName"], seen["EndpointStatus"]) for seen in client.list_endpoints()["Endpoints"]]

    assert {f"{layout}-3", f"{layout}-4"} <= set(models) & set(configs)
    assert (layout, "UpdateRollbackFailed") in endpoints
    assert client.describe_model(ModelName=f"{layout}-3")["ModelArn"] == arn("model", f"{layout}-3")


def test_events_tell_of_every_state_though_nobody_looks(
    sagemaker: LocalSageMaker, client: Any, layout: str, events: list[dict[str, Any]]
) -> None:
    create(client, layout)
    assert told(events, 2) == [("CREATING", "3"), ("IN_SERVICE", "3")]
    update(client, layout)
    assert told(events, 4)[2:] == [("UPDATING", "3"), ("IN_SERVICE", "4")]
    sagemaker.moving_seconds = SHORTLY
    client.delete_endpoint(EndpointName=layout)
    assert told(events, 5)[4:] == [("DELETING", "4")]


def test_an_event_has_the_documented_form(
    sagemaker: LocalSageMaker, client: Any, layout: str, events: list[dict[str, Any]]
) -> None:
    sagemaker.order(Fault.FAILURE, endpoint=layout, reason=IMAGE_NOT_FOUND)
    endpoint_arn = create(client, layout)
    told(events, 2)
    shown = client.describe_endpoint(EndpointName=layout)

    failed = json.loads(json.dumps(events[1]))

    assert (failed["detail-type"], failed["source"]) == ("SageMaker Endpoint State Change", "aws.sagemaker")
    assert (failed["account"], failed["region"], failed["resources"]) == ("123456789012", REGION, [endpoint_arn])
    assert failed["id"] != events[0]["id"]
    assert failed["detail"] == {
        "EndpointName": layout,
        "EndpointArn": endpoint_arn,
        "EndpointConfigName": f"{layout}-3",
        "ProductionVariants": shown["ProductionVariants"],
        "EndpointStatus": "FAILED",
        "FailureReason": IMAGE_NOT_FOUND,
        "CreationTime": round(shown["CreationTime"].timestamp() * 1000),
        "LastModifiedTime": round(shown["LastModifiedTime"].timestamp() * 1000),
        "Tags": {"byob:managed-by": "byob"},
    }


def test_a_listener_that_fails_is_told_of_the_next_change(
    sagemaker: LocalSageMaker, client: Any, layout: str, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[dict[str, Any]] = []

    def listener(event: dict[str, Any]) -> None:
        seen.append(event)
        raise ValueError(event["detail"]["EndpointStatus"])

    sagemaker.on_change = listener
    create(client, layout)

    assert told(seen, 2) == [("CREATING", "3"), ("IN_SERVICE", "3")]
    eventually(lambda: capfd.readouterr().err, lambda written: "ValueError: IN_SERVICE" in written)


def test_two_stacks_share_nothing(sagemaker: LocalSageMaker, client: Any, layout: str) -> None:
    create(client, layout)
    other = EmulatedAws()
    other.start(cast(Workers, None))
    try:
        assert client_of(other).list_endpoints()["Endpoints"] == []
    finally:
        other.stop()


def test_stopping_ends_the_thread_in_the_middle_of_a_move() -> None:
    aws = EmulatedAws(moving_seconds=FOREVER)
    aws.start(cast(Workers, None))
    client = client_of(aws)
    client.create_model(ModelName="tables-3")
    client.create_endpoint_config(EndpointConfigName="tables-3", ProductionVariants=[variant("tables-3")])
    create(client, "tables")
    before = set(threading.enumerate())

    aws.stop()
    aws.sagemaker.stop()

    assert {thread.name for thread in before - set(threading.enumerate())} >= {"sagemaker"}
