"""What a role may not do is found: calls made with its own keys, held against policies that lack something."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError

from local import arns
from local.aws import CREDENTIALS, REGION, ROLE_ARN, EmulatedAws, make_bucket
from local.identities import keys_of
from local.template import stack
from local.workers import Workers
from tests.rights.asked import Asked, UnknownRequestError, of_call, of_domain, read
from tests.rights.evaluation import KEPT, evaluate, unknown_conditions, unused
from tests.rights.plugin import reported
from tests.rights.policies import DATA_KEY_ARN, Policies, deployed, policies_of
from tests.rights.recorder import Recorder
from tests.template.reading import listed

OWNER = {"Key": "byob:managed-by", "Value": "byob"}
ClientOf = Callable[..., Any]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A recorder of one test's own: what is to be denied is no fault of the run's."""
    recorder = Recorder()
    monkeypatch.setattr(EmulatedAws, "witness", recorder.on_aws)
    return recorder


@pytest.fixture(scope="module")
def aws() -> Iterator[EmulatedAws]:
    aws = EmulatedAws(moving_seconds=0)
    aws.start(cast(Workers, None))  # no Lambda function is invoked here
    yield aws
    aws.stop()


@pytest.fixture
def client_of(aws: EmulatedAws, recorder: Recorder) -> ClientOf:
    """Makes clients of the emulated AWS with the keys of a role, None for those of the tests."""

    def make(role: str | None, service: str) -> Any:
        keys = keys_of(role) if role else CREDENTIALS
        named = {name.lower(): value for name, value in keys.items()}
        return boto3.Session().client(service, endpoint_url=aws.url, region_name=REGION, **named)

    return make


@pytest.fixture
def layout(client_of: ClientOf) -> str:
    """An endpoint made, rolled and removed by the function that does so."""
    sagemaker = client_of("ProvisionEndpointRole", "sagemaker")
    variant = {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    for name in ("layout-1", "layout-2"):
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE_ARN, Tags=[OWNER])
        variants = [{**variant, "ModelName": name}]
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, Tags=[OWNER])
    sagemaker.create_endpoint(EndpointName="layout", EndpointConfigName="layout-1", Tags=[OWNER])
    sagemaker.describe_endpoint(EndpointName="layout")
    sagemaker.update_endpoint(EndpointName="layout", EndpointConfigName="layout-2")
    sagemaker.describe_endpoint(EndpointName="layout")
    sagemaker.delete_endpoint(EndpointName="layout")
    for name in ("layout-1", "layout-2"):
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
        sagemaker.delete_model(ModelName=name)
    return "layout"


def denied(recorder: Recorder, policies: Policies) -> set[str]:
    asked = list(recorder.asked)
    verdicts = evaluate(asked, policies)
    return {one.action for one, verdict in zip(asked, verdicts, strict=True) if not verdict.allowed}


def without(statement: dict[str, Any], action: str) -> dict[str, Any]:
    return {**statement, "Action": [each for each in listed(statement["Action"]) if each != action] or "sts:TagSession"}


def changed(policies: Policies, name: str, change: Callable[[dict[str, Any]], Any]) -> Policies:
    """Give the policies with another one of this name, whose statements `change` has changed."""
    document = deepcopy(policies.documents[name])
    document["Statement"] = [changed for each in document["Statement"] if (changed := change(each))]
    return replace(policies, documents={**policies.documents, name: document})


def test_what_a_role_does_by_its_policies_is_allowed(layout: str, recorder: Recorder) -> None:
    assert recorder.calls["ProvisionEndpointRole"] == 13
    assert denied(recorder, deployed()) == set()
    assert reported(recorder, deployed(), is_whole=False).problems == []


@pytest.mark.parametrize(
    "action",
    [
        "iam:PassRole",
        "sagemaker:AddTags",
        "sagemaker:CreateEndpoint",
        "sagemaker:CreateEndpointConfig",
        "sagemaker:CreateModel",
        "sagemaker:DeleteEndpoint",
        "sagemaker:DeleteEndpointConfig",
        "sagemaker:DeleteModel",
        "sagemaker:DescribeEndpoint",
        "sagemaker:UpdateEndpoint",
    ],
)
def test_a_right_that_a_role_lacks_is_found(layout: str, recorder: Recorder, action: str) -> None:
    policies = deployed()
    for name in policies.of_roles[policies.role_arns["ProvisionEndpointRole"]]:
        policies = changed(policies, name, lambda statement: without(statement, action))

    assert denied(recorder, policies) == {action}


def test_a_resource_that_a_role_lacks_is_found(layout: str, recorder: Recorder) -> None:
    other = arns.role("byob-Other")

    policies = changed(
        deployed(),
        "ControlPolicy",
        lambda each: {**each, "Resource": other} if each["Action"] == "iam:PassRole" else each,
    )

    assert denied(recorder, policies) == {"iam:PassRole"}


def test_an_endpoint_that_is_not_the_platforms_is_out_of_reach(client_of: ClientOf, recorder: Recorder) -> None:
    theirs, ours = client_of(None, "sagemaker"), client_of("ProvisionEndpointRole", "sagemaker")
    variant = {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    theirs.create_model(ModelName="theirs", ExecutionRoleArn=ROLE_ARN)
    theirs.create_endpoint_config(EndpointConfigName="theirs", ProductionVariants=[{**variant, "ModelName": "theirs"}])
    theirs.create_endpoint(EndpointName="theirs", EndpointConfigName="theirs")
    theirs.describe_endpoint(EndpointName="theirs")

    ours.delete_endpoint(EndpointName="theirs")

    assert denied(recorder, deployed()) == {"sagemaker:DeleteEndpoint"}
    assert recorder.others == 4


def test_what_a_vpc_endpoint_does_not_let_through_is_found(layout: str, recorder: Recorder) -> None:
    policies = changed(deployed(), "SageMakerEndpoint", lambda each: {**each, "Action": "sagemaker:Describe*"})

    assert denied(recorder, policies) == {one.action for one in recorder.asked} - {
        "iam:PassRole",
        "sagemaker:DescribeEndpoint",
    }


def test_what_the_domain_denies_is_found() -> None:
    asked = [
        of_domain("GetBotRole", "GET", "/byob-bots/_doc/invoice-reader"),
        of_domain("GetBotRole", "PUT", "/byob-x/"),
    ]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "es:*", "Resource": "*"}

    policies = changed(deployed(), "Domain", lambda each: {**each, **deny})

    assert [one.allowed for one in evaluate(asked, deployed())] == [True, False]
    assert [one.allowed for one in evaluate(asked, policies)] == [False, False]


def test_a_bot_uses_the_keys_of_its_buckets_that_the_deployment_names(client_of: ClientOf, recorder: Recorder) -> None:
    s3 = client_of("JobRole", "s3")
    for bucket, key in (("named", DATA_KEY_ARN), ("unnamed", DATA_KEY_ARN.replace("data", "other"))):
        make_bucket(client_of(None, "s3"), bucket)
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
        encryption = {"Rules": [rule]}
        client_of(None, "s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=encryption)
        s3.put_object(Bucket=bucket, Key="a.jpg", Body=b"1")
        s3.get_object(Bucket=bucket, Key="a.jpg")

    asked = [one for one in recorder.asked if one.action.startswith("kms:")]
    verdicts = [
        (one.action, one.resource == DATA_KEY_ARN, verdict.allowed)
        for one, verdict in zip(asked, evaluate(asked, deployed()), strict=True)
    ]
    assert sorted(verdicts) == [
        ("kms:Decrypt", False, False),
        ("kms:Decrypt", True, True),
        ("kms:GenerateDataKey", False, False),
        ("kms:GenerateDataKey", True, True),
    ]


def test_a_key_whose_policy_leaves_the_account_out_is_found() -> None:
    via = (("kms:ViaService", f"s3.{REGION}.amazonaws.com"),)
    asked = [
        Asked("JobRole", "kms", "kms:Decrypt", DATA_KEY_ARN, via),
        Asked("JobRole", "kms", "kms:Decrypt", DATA_KEY_ARN),
    ]
    elsewhere = {"AWS": "arn:aws:iam::000000000000:root"}

    policies = changed(deployed(), "the data key's policy", lambda each: {**each, "Principal": elsewhere})

    assert [one.allowed for one in evaluate(asked, deployed())] == [True, False]
    assert [one.allowed for one in evaluate(asked, policies)] == [False, False]


def test_a_call_that_nobody_understands_is_no_call_that_is_allowed(client_of: ClientOf, recorder: Recorder) -> None:
    with suppress(ClientError):
        client_of("GetBotRole", "s3").upload_part(Bucket="media", Key="a", PartNumber=1, UploadId="1", Body=b"1")

    (problem,) = reported(recorder, deployed(), is_whole=False).problems
    assert re.fullmatch(r"not understood \(\d+\): GetBotRole: IAM has no action s3:UploadPart", problem)
    with pytest.raises(UnknownRequestError, match="no operation DELETE"):
        read("batch", "DELETE", "/v1/submitjob", {}, b"")
    call = read("sagemaker", "POST", "/", {"x-amz-target": "SageMaker.CreateEndpoint"}, b'{"EndpointName": "e"}')
    with pytest.raises(UnknownRequestError, match="the endpoint-config is not among"):
        list(of_call("ProvisionEndpointRole", call, lambda _: {}))


def test_a_function_that_calls_without_its_roles_keys_is_found(
    client_of: ClientOf, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")

    client_of(None, "sagemaker").list_endpoints()

    assert reported(recorder, deployed(), is_whole=False).problems == ["called without its role's keys (1): POST /"]


def test_a_right_that_nothing_needs_is_found() -> None:
    with_more = changed(
        deployed(),
        "LookPolicy",
        lambda each: {**each, "Action": [*listed(each["Action"]), "sagemaker:StopPipelineExecution"]},
    )

    of_lookers = {
        right for right in unused(with_more, ()) if right[0] != "JobRole" and right[0] != "JobStateMachineRole"
    }
    assert {(name, action) for _, name, action in of_lookers} == {("LookPolicy 1", "sagemaker:StopPipelineExecution")}


def test_a_bots_right_is_needed_where_a_bot_was_seen_to_use_it() -> None:
    names = [(name, each) for name, each in deployed().statements("JobRole") if "s3:PutObject" in each["Action"]]
    ((name, _),) = names

    put = ("JobRole", name, "s3:PutObject")
    assert put in set(unused(deployed(), ()))
    assert put not in set(unused(deployed(), {put}))


def test_of_every_condition_a_value_is_known() -> None:
    assert unknown_conditions(deployed()) == set()
    narrowed = {"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}
    assert unknown_conditions(changed(deployed(), "LookPolicy", lambda each: each | narrowed)) == {"aws:SourceVpc"}


def test_what_is_kept_for_another_reason_is_a_right_of_the_role() -> None:
    for role, pattern in KEPT:
        actions = [action for _, each in deployed().statements(role) for action in listed(each["Action"])]
        assert any(fnmatchcase(action, pattern) for action in actions), (role, pattern)


def test_a_deployment_without_data_keys_has_no_right_to_any() -> None:
    policies = policies_of(stack())

    assert not any(
        "kms:" in str(each["Action"]) for role in policies.role_arns for _, each in policies.statements(role)
    )
