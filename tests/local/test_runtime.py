import json
from collections.abc import Iterator
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.aws import CREDENTIALS, REGION, EmulatedAws, make_bucket
from local.runtime import RuntimeFault
from local.samples import pictures, upload
from local.workers import Workers

PICTURES = {name: (content, colour) for name, content, colour in pictures()}


@pytest.fixture(scope="module")
def aws() -> Iterator[EmulatedAws]:
    aws = EmulatedAws(moving_seconds=0)
    aws.start(cast(Workers, None))  # no Lambda function is invoked here
    yield aws
    aws.stop()


@pytest.fixture(scope="module")
def runtime(aws: EmulatedAws) -> Any:
    return client_of(aws, "sagemaker-runtime")


@pytest.fixture(scope="module")
def endpoint(aws: EmulatedAws) -> str:
    sagemaker = client_of(aws, "sagemaker")
    sagemaker.create_model(ModelName="colours-1")
    variant = {"VariantName": "AllTraffic", "ModelName": "colours-1"}
    size = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="colours-1", ProductionVariants=[{**variant, **size}])
    sagemaker.create_endpoint(EndpointName="colours", EndpointConfigName="colours-1")
    return "colours"


def client_of(aws: EmulatedAws, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=aws.url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )


def tags(runtime: Any, endpoint: str, picture: bytes) -> Any:
    answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=picture, ContentType="application/x-image")
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("application/json", "AllTraffic")
    return json.loads(answer["Body"].read())["tags"]


def refused(runtime: Any, endpoint: str, picture: bytes = b"x") -> Any:
    with pytest.raises(ClientError) as caught:
        tags(runtime, endpoint, picture)
    return caught.value.response


@pytest.mark.parametrize("name", PICTURES)
def test_a_sample_is_tagged_with_the_colour_that_it_shows(runtime: Any, endpoint: str, name: str) -> None:
    picture, colour = PICTURES[name]

    found = tags(runtime, endpoint, picture)

    assert found[0]["name"] == colour
    assert found[0]["confidence"] > 0.5
    assert sum(tag["confidence"] for tag in found) <= 1.01


def test_an_endpoint_that_is_not_in_service_is_not_found(aws: EmulatedAws, runtime: Any, endpoint: str) -> None:
    missing = refused(runtime, "nobody")
    assert missing["Error"]["Code"] == "ValidationError"
    assert "Endpoint nobody of account 123456789012 not found." in missing["Error"]["Message"]

    aws.sagemaker.set_state(endpoint, "Creating")
    coming = refused(runtime, endpoint)
    aws.sagemaker.set_state(endpoint, "Updating")
    answered = tags(runtime, endpoint, PICTURES["red-circle.png"][0])
    aws.sagemaker.set_state(endpoint, "InService")

    assert coming["Error"]["Code"] == "ValidationError"
    assert answered


@pytest.mark.parametrize("content", [b"", b"no picture", PICTURES["red-circle.png"][0][:60]])
def test_what_is_no_picture_is_the_models_refusal(runtime: Any, endpoint: str, content: bytes) -> None:
    refusal = refused(runtime, endpoint, content)

    assert (refusal["Error"]["Code"], refusal["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 424)
    assert (refusal["OriginalStatusCode"], "no picture" in refusal["OriginalMessage"]) == (400, True)


@pytest.mark.parametrize("fault", RuntimeFault)
def test_a_fault_strikes_as_often_as_ordered(
    aws: EmulatedAws, runtime: Any, endpoint: str, fault: RuntimeFault
) -> None:
    calls = aws.runtime.calls(endpoint)
    aws.runtime.order(fault, endpoint=endpoint.upper(), times=2)
    aws.runtime.order(fault, endpoint="another")

    refusals = [refused(runtime, endpoint) for _ in range(2)]

    code, status, _ = fault.value
    seen = [(refusal["Error"]["Code"], refusal["ResponseMetadata"]["HTTPStatusCode"]) for refusal in refusals]
    assert seen == [(code, status)] * 2
    assert tags(runtime, endpoint, PICTURES["red-circle.png"][0])
    assert aws.runtime.calls(endpoint) == calls + 3


def test_the_samples_are_put_into_a_bucket(aws: EmulatedAws) -> None:
    s3 = client_of(aws, "s3")
    make_bucket(s3, "samples")

    keys = upload(s3, "samples", "pictures/")

    stored = {found["Key"] for found in s3.list_objects_v2(Bucket="samples")["Contents"]}
    assert stored == set(keys) == {f"pictures/{name}" for name in PICTURES}
    content = s3.get_object(Bucket="samples", Key="pictures/more/grün & 100 %.png")["Body"].read()
    assert content == PICTURES["more/grün & 100 %.png"][0]
