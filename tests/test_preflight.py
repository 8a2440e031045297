"""What is looked at before a deployment: each check where it is right, where it is wrong, and where nobody answers.

Against moto, and against recorded answers of those services that moto does not have.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import boto3
import botocore.session
import pytest
from botocore import xform_name
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from moto import mock_aws

from local.template import ROOT
from tools.preflight.__main__ import look, looked
from tools.preflight.account import READING, Account
from tools.preflight.checks import CHECKS, FIRST, SETTLED, Check
from tools.preflight.deployment import Deployment, overrides, read
from tools.preflight.finding import Finding, State

REGION: Final = "eu-west-1"
CHECK: Final = {check.subject: check for check in (*FIRST, *CHECKS)}
#: With these parameters, a check has to ask; the others ask with the defaults.
ASKING: Final = {
    "network": {"VpcId": "vpc-1", "SubnetIdA": "subnet-a", "SubnetIdB": "subnet-b"},
    "key": {"KmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/1"},
    "keys of data": {"DataKeyArns": "arn:aws:kms:eu-west-1:123456789012:key/1"},
    "SnapStart": {"SnapStart": "PublishedVersions"},
}
#: These look at nothing but the templates and the settings.
ASK_NOBODY: Final = {"parameters", "stack name", "region"}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An account of moto's, in which nothing is."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield Account(boto3.Session(region_name=REGION))


@pytest.fixture
def here(account: Account) -> "Here":
    return Here(account)


class Here:
    """Carries out a check in the account, with parameters."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def find(self, subject: str, **parameters: str) -> Finding:
        return CHECK[subject].look(deployment(**parameters), self.account)

    def says(self, service: str, *answers: tuple[str, dict[str, Any]]) -> None:
        """Have a service give these answers, one after the other."""
        stubber = Stubber(self.account.client(service))
        for operation, answer in answers:
            stubber.add_response(operation, answer)
        stubber.activate()

    def refuses(self, service: str, operation: str, code: str) -> None:
        stubber = Stubber(self.account.client(service))
        stubber.add_client_error(operation, code)
        stubber.activate()

    def deploy(self, name: str = "byob", parameters: dict[str, str] | None = None, outputs: Any = None) -> None:
        """Have a stack of this name."""
        template = {
            "Parameters": {each: {"Type": "String"} for each in parameters or {}},
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
            "Outputs": outputs or {},
        }
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()]
        cloudformation = boto3.client("cloudformation", REGION)
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), Parameters=given)


def deployment(**parameters: str) -> Deployment:
    return read(region=REGION, parameters=parameters, samconfig=Path("none"))


@pytest.mark.parametrize("subject", sorted(CHECK.keys() - ASK_NOBODY))
@pytest.mark.parametrize("trouble", ["unreachable", "AccessDenied"])
def test_what_cannot_be_looked_at_is_neither_right_nor_absent(account: Account, subject: str, trouble: str) -> None:
    def fail(**_: Any) -> Any:
        if trouble == "unreachable":
            raise EndpointConnectionError(endpoint_url="https://nowhere")
        return SimpleNamespace(status_code=403), {"Error": {"Code": trouble, "Message": "no"}, "ResponseMetadata": {}}

    session = boto3.Session(region_name=REGION)
    session.events.register_first("before-call.*.*", fail)

    found = looked(CHECK[subject], deployment(**ASKING.get(subject, {})), Account(session))

    assert found.state is State.COULD_NOT_LOOK
    assert "failed by itself" not in found.sentence


def test_a_check_that_fails_by_itself_does_not_end_the_run(account: Account) -> None:
    def fail(_: Deployment, __: Account) -> Finding:
        raise KeyError("unforeseen")

    found = looked(Check("itself", fail), deployment(), account)

    assert found.state is State.COULD_NOT_LOOK
    assert "unforeseen" in found.sentence


def test_nothing_more_is_asked_without_credentials(here: Here) -> None:
    here.refuses("sts", "get_caller_identity", "ExpiredToken")

    found = dict(look(deployment(), here.account))

    assert found["credentials"].state is State.WRONG
    assert {found[check.subject].state for check in CHECKS} == {State.COULD_NOT_LOOK}


def test_every_check_gives_a_finding_in_an_empty_account(here: Here) -> None:
    found = dict(look(deployment(), here.account))

    assert found.keys() == CHECK.keys()
    assert found["credentials"].state is State.OK


def test_a_parameter_that_is_not_set_keeps_its_value_in_an_update(here: Here) -> None:
    here.deploy(parameters={"SnapStart": "PublishedVersions"})

    assert dict(look(deployment(), here.account))["SnapStart"].state is State.COULD_NOT_LOOK
    assert dict(look(deployment(SnapStart="None"), here.account))["SnapStart"].state is State.OK


# ---- It only reads ----
def asked() -> list[tuple[str, str]]:
    """Give service and operation of every call of the door that the checks make."""
    tree = ast.parse((ROOT / "tools" / "preflight" / "checks.py").read_text())
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute))
    names = []
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("ask", "ask_all"):
            service, operation = (ast.literal_eval(argument) for argument in call.args[:2])
            names.append((service, operation))
    return names


def test_only_operations_are_called_that_read() -> None:
    session = botocore.session.Session()
    called = [
        [name for name in session.get_service_model(service).operation_names if xform_name(name) == operation]
        for service, operation in asked()
    ]

    assert len(called) > 15
    assert all(len(names) == 1 for names in called)
    assert all(name.startswith(("Describe", "Get", "Head", "List")) for (name,) in called)


def test_checks_reach_the_account_by_its_door_alone() -> None:
    text = (ROOT / "tools" / "preflight" / "checks.py").read_text()

    assert "boto3" not in text
    assert ".client(" not in text


@pytest.mark.parametrize("operation", ["create_role", "put_role_policy", "delete_role", "update_role"])
def test_the_door_refuses_what_may_change_something(account: Account, operation: str) -> None:
    with pytest.raises(ValueError, match="may change something"):
        account.ask("iam", operation)

    assert not operation.startswith(READING)


# ---- Settings ----
def test_parameters_are_read_from_what_a_guided_deployment_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    file = tmp_path / "samconfig.toml"
    file.write_text(
        "[default.global.parameters]\nstack_name = 'tags'\n[default.deploy.parameters]\nregion = 'eu-central-1'\n"
        "confirm_changeset = true\nfail_on_empty_changeset = false\n"
        'parameter_overrides = "VpcId=\\"vpc-1\\" JobMaxVcpus=\\"64\\" AllowedInstanceTypes=\\"ml.m5.*, ml.c5.*\\""\n'
    )

    found = read(samconfig=file, parameters={"JobMaxVcpus": "8"})

    assert (found.stack, found.region) == ("tags", "eu-central-1")
    assert (found["VpcId"], found["JobMaxVcpus"], found["JobCapacity"]) == ("vpc-1", "8", "SPOT")
    assert found.listed("AllowedInstanceTypes") == ["ml.m5.*", "ml.c5.*"]


@pytest.mark.parametrize(
    "written",
    [
        'A="1" B="two words"',
        ["A=1", 'B="two words"'],
        {"A": 1, "B": "two words"},
        ["ParameterKey=A,ParameterValue=1", "ParameterKey=B,ParameterValue=two words"],
    ],
)
def test_parameters_are_read_in_every_form_that_sam_takes(written: object) -> None:
    assert overrides(written) == {"A": "1", "B": "two words"}


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ({}, State.OK),
        ({"SubnetIdz": "subnet-1"}, State.WRONG),
        ({"JobCapacity": "FARGATE"}, State.WRONG),
        ({"VpcCidr": "10.0.0.0/28"}, State.WRONG),
    ],
)
def test_parameters_are_those_of_the_template(here: Here, given: dict[str, str], state: State) -> None:
    assert here.find("parameters", **given).state is state


@pytest.mark.parametrize(
    ("name", "state"), [("byob", State.OK), ("b" * 102, State.OK), ("b" * 103, State.WRONG), ("1st", State.WRONG)]
)
def test_a_stacks_name_leaves_room_for_what_is_named_after_it(account: Account, name: str, state: State) -> None:
    wanted = Deployment(name, REGION, None, {}, deployment().documents)

    assert CHECK["stack name"].look(wanted, account).state is state


@pytest.mark.parametrize(
    ("region", "state"),
    [("eu-west-1", State.OK), ("cn-northwest-1", State.OK), ("us-iso-east-1", State.WRONG), ("mars", State.WRONG)],
)
def test_a_region_is_known_and_of_a_partition_that_the_template_knows(
    account: Account, region: str, state: State
) -> None:
    wanted = Deployment("byob", region, None, {}, deployment().documents)

    assert CHECK["region"].look(wanted, account).state is state


def test_without_a_region_it_is_said_where_to_set_one(account: Account) -> None:
    wanted = Deployment("byob", None, None, {}, deployment().documents)

    assert "AWS_REGION" in CHECK["region"].look(wanted, account).sentence


def test_credentials_that_aws_takes_are_shown_with_their_account(here: Here) -> None:
    assert here.find("credentials").sentence.startswith("account 123456789012")


def test_without_credentials_it_is_said_to_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")

    found = CHECK["credentials"].look(deployment(), Account(boto3.Session(region_name=REGION)))

    assert found.state is State.WRONG
    assert "log in" in found.sentence


# ---- Names ----
def test_a_stack_that_is_there_is_updated(here: Here) -> None:
    assert "yet" in here.find("stack").sentence

    here.deploy()

    assert here.find("stack").state is State.OK
    assert "updated" in here.find("stack").sentence


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"])
def test_a_stack_that_cannot_be_updated_is_in_the_way(here: Here, status: str) -> None:
    stack = {"StackName": "byob", "CreationTime": "2026-11-24T00:00:00Z", "StackStatus": status}
    here.says("cloudformation", ("describe_stacks", {"Stacks": [stack]}))

    assert here.find("stack").state is State.WRONG


def test_a_change_set_that_was_never_carried_out_is_no_stack(here: Here) -> None:
    stack = {"StackName": "byob", "CreationTime": "2026-11-24T00:00:00Z", "StackStatus": "REVIEW_IN_PROGRESS"}
    here.says("cloudformation", ("describe_stacks", {"Stacks": [stack]}))

    found = here.find("stack")

    assert found.state is State.OK
    assert "yet" in found.sentence


@pytest.mark.parametrize("name", sorted(SETTLED))
def test_what_cannot_be_changed_is_not(here: Here, name: str) -> None:
    assert here.find("what cannot be changed", **{name: "then"}).state is State.OK

    here.deploy(parameters={name: "then"})

    assert here.find("what cannot be changed", **{name: "then"}).state is State.OK
    changed = here.find("what cannot be changed", **{name: "now"})
    assert changed.state is State.WRONG
    assert changed.sentence.startswith(f"{name} was 'then' until now")


def export(name: str, **values: str) -> dict[str, Any]:
    """Export what a foundation and a domain export, with these values."""
    exported = {"KeyArn": "arn", "OpenSearchUrl": "https://vpc-byob.example.com", "RouteTableId": "rtb-1", **values}
    return {key: {"Value": value, "Export": {"Name": f"{name}-{key}"}} for key, value in exported.items()}


def test_what_an_earlier_deployment_left_is_to_be_taken_over_or_removed(here: Here) -> None:
    assert here.find("earlier deployments").state is State.OK

    here.deploy("byob-Foundation-1", outputs=export("byob"))

    found = here.find("earlier deployments")
    assert found.state is State.WRONG
    assert "TakeOver=byob" in found.sentence
    assert here.find("earlier deployments", TakeOver="byob").state is State.OK


def test_what_is_to_be_taken_over_must_be_there(here: Here) -> None:
    here.deploy("tags-Foundation-1", outputs=export("tags"))

    found = here.find("earlier deployments", TakeOver="byob")

    assert found.state is State.WRONG
    assert "tags" in found.sentence


def test_a_deployment_that_left_no_domain_is_taken_over_with_one_of_yours(here: Here) -> None:
    left = {key: value for key, value in export("byob").items() if key != "OpenSearchUrl"}
    here.deploy("byob-Foundation-1", outputs=left)

    assert here.find("earlier deployments", TakeOver="byob").state is State.WRONG
    url = "https://vpc-byob.example.com"
    assert here.find("earlier deployments", TakeOver="byob", OpenSearchUrl=url).state is State.OK


def test_a_network_that_is_taken_over_is_named_as_it_was(here: Here) -> None:
    yours = {key: value for key, value in export("yours").items() if key != "RouteTableId"}
    here.deploy("own-Foundation-1", outputs=export("own"))
    here.deploy("yours-Foundation-1", outputs=yours)

    found = {
        (name, vpc): here.find("earlier deployments", TakeOver=name, VpcId=vpc).state
        for name in ("own", "yours")
        for vpc in ("", "vpc-1")
    }

    assert found == {
        ("own", ""): State.OK,
        ("own", "vpc-1"): State.WRONG,
        ("yours", ""): State.WRONG,
        ("yours", "vpc-1"): State.OK,
    }


def test_a_domain_that_is_taken_over_is_the_one_that_was_left(here: Here) -> None:
    opensearch = boto3.client("opensearch", REGION)
    made = opensearch.create_domain(DomainName="byob")["DomainStatus"]
    opensearch.create_domain(DomainName="other")
    hosts = [made.get("Endpoint"), *made.get("Endpoints", {}).values()]
    here.deploy("byob-DomainStack-1", outputs=export("byob", OpenSearchUrl=f"https://{next(filter(None, hosts))}"))

    assert here.find("domain", TakeOver="byob").state is State.OK
    assert "wrong domain" in here.find("domain", TakeOver="byob", OpenSearchDomainName="other").sentence


def test_a_domain_of_yours_may_have_an_address_that_it_does_not_tell(here: Here) -> None:
    boto3.client("opensearch", REGION).create_domain(DomainName="byob")
    left = {key: value for key, value in export("byob").items() if key != "OpenSearchUrl"}
    here.deploy("byob-Foundation-1", outputs=left)

    assert here.find("domain", TakeOver="byob", OpenSearchUrl="https://search.example.com").state is State.OK


def test_a_stacks_own_foundation_is_not_in_its_way(here: Here) -> None:
    here.deploy("byob-Foundation-1", outputs=export("byob"))
    here.deploy("byob")

    assert here.find("earlier deployments").state is State.OK


def test_a_domain_of_the_same_name_is_in_the_way_unless_it_is_to_be_used(here: Here) -> None:
    assert here.find("domain").state is State.OK
    assert here.find("domain", OpenSearchUrl="https://vpc-byob.example.com").state is State.WRONG
    assert here.find("domain", TakeOver="byob").state is State.WRONG

    boto3.client("opensearch", REGION).create_domain(DomainName="byob")

    assert here.find("domain").state is State.WRONG
    assert here.find("domain", OpenSearchDomainName="tags").state is State.OK
    assert here.find("domain", OpenSearchUrl="https://vpc-byob.example.com").state is State.OK


def described(name: str, number: int, root: int, **parameters: str) -> tuple[str, dict[str, Any]]:
    """Have CloudFormation describe a stack by its id, and the id of its outermost stack, which is named byob."""
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    arns = "arn:aws:cloudformation:eu-west-1:123456789012:stack"
    stack = {"StackName": name, "StackId": f"{arns}/{name}/{number}", "RootId": f"{arns}/byob/{root}"}
    return "describe_stacks", {
        "Stacks": [
            {
                **stack,
                "CreationTime": "2026-11-24T00:00:00Z",
                "StackStatus": "CREATE_COMPLETE",
                "Parameters": given,
            }
        ]
    }


@pytest.mark.parametrize(
    ("root", "url", "state"),
    [(1, "", State.OK), (9, "", State.WRONG), (1, "https://search.example.com", State.WRONG)],
    ids=["its own", "that of one that had the name", "one that it let go for another"],
)
def test_a_domain_is_that_of_the_outermost_stack_which_has_it_now(
    here: Here, root: int, url: str, state: State
) -> None:
    boto3.client("opensearch", REGION).create_domain(DomainName="byob")
    resource = {
        "StackName": "byob-DomainStack-1",
        "LogicalResourceId": "Domain",
        "ResourceType": "AWS::OpenSearchService::Domain",
        "Timestamp": "2026-11-24T00:00:00Z",
        "ResourceStatus": "CREATE_COMPLETE",
    }
    here.says(
        "cloudformation",
        described("byob", 1, 1, OpenSearchUrl=url),
        ("describe_stack_resources", {"StackResources": [resource]}),
        described("byob-DomainStack-1", 2, root),
    )

    found = here.find("domain")

    assert found.state is state
    assert (f"OpenSearchUrl was {url!r}" in found.sentence) == bool(url)


def test_a_log_group_that_is_left_is_in_the_way_of_a_new_stack_alone(here: Here) -> None:
    assert here.find("log groups").state is State.OK

    boto3.client("logs", REGION).create_log_group(logGroupName="/byob/byob/access-of-another")
    assert here.find("log groups").state is State.OK
    boto3.client("logs", REGION).create_log_group(logGroupName="/byob/byob/access")

    assert "delete-log-group --log-group-name /byob/byob/access" in here.find("log groups").sentence
    here.deploy()
    assert here.find("log groups").state is State.OK


def test_a_dashboard_that_is_left_is_in_the_way_of_a_new_stack_alone(here: Here) -> None:
    assert here.find("dashboard").state is State.OK

    body = json.dumps({"widgets": []})
    boto3.client("cloudwatch", REGION).put_dashboard(DashboardName=f"byob-{REGION}", DashboardBody=body)

    assert here.find("dashboard").state is State.WRONG
    here.deploy()
    assert here.find("dashboard").state is State.OK


# ---- Roles, quotas ----
def linked(*services: str) -> None:
    for service in services:
        boto3.client("iam", REGION).create_service_linked_role(AWSServiceName=f"{service}.amazonaws.com")


def test_the_role_for_domains_in_a_vpc_must_be_there(here: Here) -> None:
    found = here.find("OpenSearch's role")
    assert found.state is State.WRONG
    assert "create-service-linked-role --aws-service-name opensearchservice.amazonaws.com" in found.sentence

    here.says("iam", ("get_role", {"Role": ROLE}), ("get_role", {"Role": ROLE}))

    assert here.find("OpenSearch's role").state is State.OK
    assert here.find("OpenSearch's role", OpenSearchUrl="https://a.example.com").state is State.OK


ROLE: Final = {
    "Path": "/",
    "RoleName": "a-role",
    "RoleId": "AROAEXAMPLEEXAMPLE123",
    "Arn": "arn:aws:iam::123456789012:role/a-role",
    "CreateDate": "2026-11-24T00:00:00Z",
}


def test_roles_that_jobs_make_for_themselves_are_named_where_they_are_missing(here: Here) -> None:
    found = here.find("roles for jobs")

    assert found.state is State.WARNING
    assert "--aws-service-name spot.amazonaws.com" in found.sentence
    assert "spot" not in here.find("roles for jobs", JobCapacity="EC2").sentence
    here.says("iam", *[("get_role", {"Role": ROLE})] * 4)
    assert here.find("roles for jobs").state is State.OK


def limits(total: int, unreserved: int) -> tuple[str, dict[str, Any]]:
    return "get_account_settings", {
        "AccountLimit": {"ConcurrentExecutions": total, "UnreservedConcurrentExecutions": unreserved}
    }


@pytest.mark.parametrize(
    ("reserve", "total", "unreserved", "state"),
    [
        ("true", 1000, 1000, State.OK),
        ("true", 1000, 150, State.WRONG),
        ("true", 10, 10, State.WRONG),
        ("false", 1000, 1000, State.OK),
        ("false", 10, 10, State.WARNING),
    ],
)
def test_what_the_functions_reserve_must_be_left_to_the_account(
    here: Here, reserve: str, total: int, unreserved: int, state: State
) -> None:
    here.says("lambda", limits(total, unreserved))

    assert here.find("concurrency", ReservedConcurrency=reserve).state is state


def test_what_a_stack_has_reserved_already_is_not_counted_twice(here: Here) -> None:
    here.deploy(parameters={"ReservedConcurrency": "true"})
    here.says("lambda", limits(200, 101))

    assert here.find("concurrency", ReservedConcurrency="true").state is State.OK


@pytest.mark.parametrize(("vcpus", "state"), [(256.0, State.OK), (5.0, State.WARNING), (0.0, State.WARNING)])
def test_jobs_may_use_no_more_vcpus_than_the_quota_has(here: Here, vcpus: float, state: State) -> None:
    here.says("service-quotas", ("get_service_quota", {"Quota": {"QuotaCode": "L-34B43A08", "Value": vcpus}}))

    assert here.find("instances for jobs").state is state


def test_a_quota_that_was_never_raised_is_the_default(here: Here) -> None:
    stubber = Stubber(here.account.client("service-quotas"))
    stubber.add_client_error("get_service_quota", "NoSuchResourceException")
    stubber.add_response("get_aws_default_service_quota", {"Quota": {"QuotaCode": "L-1216C47A", "Value": 5.0}})
    stubber.activate()

    assert "5 vCPUs" in here.find("instances for jobs", JobCapacity="EC2").sentence


def test_a_quota_that_nobody_tells_is_not_taken_for_none(here: Here) -> None:
    stubber = Stubber(here.account.client("service-quotas"))
    for operation in ("get_service_quota", "get_aws_default_service_quota"):
        stubber.add_client_error(operation, "NoSuchResourceException")
    stubber.activate()

    assert here.find("instances for jobs").state is State.COULD_NOT_LOOK


QUOTAS: Final = {
    "Quotas": [
        {"QuotaName": "ml.m5.large for endpoint usage", "Value": 4.0},
        {"QuotaName": "ml.g5.xlarge for endpoint usage", "Value": 0.0},
        {"QuotaName": "ml.g5.xlarge for training job usage", "Value": 8.0},
    ]
}


@pytest.mark.parametrize(
    ("patterns", "state", "words"),
    [
        ("*", State.OK, "1 of 2"),
        ("ml.m5.*", State.OK, "1 of 1"),
        ("ml.m5.*, ml.g5.*", State.WARNING, "0 of ml.g5.xlarge"),
        ("ml.z9.*", State.WARNING, "fits no type"),
    ],
)
def test_an_allowed_type_of_which_the_account_has_none_is_named(
    here: Here, patterns: str, state: State, words: str
) -> None:
    here.says("service-quotas", ("list_service_quotas", QUOTAS))

    found = here.find("instances for endpoints", AllowedInstanceTypes=patterns)

    assert found.state is state
    assert words in found.sentence


# ---- Zones and network ----
def services(
    here: Here,
    zones: list[str],
    *,
    but: str = "",
    of_that: list[str] | None = None,
    subnets: list[dict[str, str]] | None = None,
) -> None:
    """Have the endpoints' services in these zones; one of them in others, or (None) nowhere."""
    ending = ("batch", "ecr.api", "lambda", "sagemaker.api", "states", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry")
    names = [f"com.amazonaws.{REGION}.{each}" for each in (*ending, "logs", "sagemaker.runtime")]
    details = [
        {"ServiceName": name, "AvailabilityZones": of_that if name.endswith(but) and but else zones}
        for name in names
        if not (but and name.endswith(but) and of_that is None)
    ]
    here.says(
        "ec2",
        ("describe_availability_zones", ZONES),
        *([("describe_subnets", {"Subnets": subnets})] if subnets else []),
        ("describe_vpc_endpoint_services", {"ServiceDetails": details}),
    )


ZONES: Final = {"AvailabilityZones": [{"ZoneName": f"{REGION}{letter}"} for letter in "abc"]}
A, B, C = (zone["ZoneName"] for zone in ZONES["AvailabilityZones"])


def test_zones_that_have_every_service_will_do(here: Here) -> None:
    services(here, [A, B, C])

    assert here.find("zones", VpcEndpointZones="2").state is State.OK


def test_a_service_that_a_zone_lacks_is_named_with_zones_that_have_it(here: Here) -> None:
    services(here, [A, B, C], but="ecs-agent", of_that=[A, C])

    found = here.find("zones", VpcEndpointZones="2")

    assert found.state is State.WRONG
    assert "ecs-agent" in found.sentence
    assert found.sentence.endswith(f"{A}, {C}")


def test_endpoints_in_one_zone_need_their_services_there_alone(here: Here) -> None:
    services(here, [A, B, C], but="ecs-agent", of_that=[A, C])

    assert here.find("zones", VpcEndpointZones="1").state is State.OK


def test_a_service_that_the_region_lacks_is_named(here: Here) -> None:
    services(here, [A, B, C], but="ecs-agent")

    assert "offers no endpoint of com.amazonaws.eu-west-1.ecs-agent" in here.find("zones").sentence


def left_network(here: Here, a: str, b: str) -> list[dict[str, str]]:
    """Have an earlier deployment's network in these zones; give its subnets as EC2 describes them."""
    subnets = {"SubnetIdA": a, "SubnetIdB": b}
    here.deploy("byob-1", outputs=export("byob", **{name: f"subnet-{zone}" for name, zone in subnets.items()}))
    return [{"SubnetId": f"subnet-{zone}", "AvailabilityZone": zone} for zone in subnets.values()]


def test_zones_that_are_taken_over_are_those_of_the_earlier_network(here: Here) -> None:
    subnets = left_network(here, B, C)
    services(here, [B, C], subnets=subnets)

    found = here.find("zones", TakeOver="byob", VpcEndpointZones="2")

    assert found.state is State.OK
    assert found.sentence.startswith(f"{B} and {C}")


@pytest.mark.parametrize("endpoint_zones", ["1", "2"])
def test_a_network_that_is_there_stays_in_its_zones(here: Here, endpoint_zones: str) -> None:
    here.deploy(parameters={"ZoneA": B, "ZoneB": C})
    services(here, [A, B, C], but="ecs-agent", of_that=[A, B] if endpoint_zones == "2" else [A, C])

    found = here.find("zones", ZoneA=B, ZoneB=C, VpcEndpointZones=endpoint_zones)

    assert found.state is State.WRONG
    assert "ecs-agent" in found.sentence
    assert "ZoneA" not in found.sentence
    assert ("VpcEndpointZones=1" in found.sentence) == (endpoint_zones == "2")


def test_a_network_that_is_taken_over_stays_in_its_zones(here: Here) -> None:
    subnets = left_network(here, B, C)
    services(here, [A, B, C], but="ecs-agent", of_that=[A, C], subnets=subnets)

    found = here.find("zones", TakeOver="byob")

    assert found.state is State.WRONG
    assert "ZoneA" not in found.sentence


@pytest.mark.parametrize(("a", "b"), [(A, A), ("eu-west-1z", B)])
def test_zones_are_two_different_ones_of_the_region(here: Here, a: str, b: str) -> None:
    services(here, [A, B, C])

    assert here.find("zones", ZoneA=a, ZoneB=b).state is State.WRONG


@pytest.mark.parametrize(
    ("details", "state"),
    [
        ([{"InstanceType": "t3.small.search", "AvailabilityZones": [A, B]}], State.OK),
        ([{"InstanceType": "t3.small.search", "AvailabilityZones": [A, C]}], State.WRONG),
        ([{"InstanceType": "t3.small.search"}], State.COULD_NOT_LOOK),
        ([], State.WRONG),
    ],
)
def test_the_domains_instances_are_offered_in_its_zones(here: Here, details: list[Any], state: State) -> None:
    here.says("opensearch", ("list_instance_type_details", {"InstanceTypeDetails": details}))
    here.says("ec2", ("describe_availability_zones", ZONES))

    assert here.find("domain's instances").state is state


def vpc(*zones: str) -> dict[str, str]:
    """Make a VPC with a subnet in each of these zones; give the parameters that name it."""
    ec2 = boto3.client("ec2", REGION)
    made = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=made, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for number, zone in enumerate(zones)
    ]
    return {"VpcId": made, "SubnetIdA": subnets[0], "SubnetIdB": subnets[1]}


def test_an_existing_vpc_needs_two_subnets_of_its_own_in_two_zones(here: Here) -> None:
    good, one_zone = vpc(A, B), vpc(A, A)

    assert here.find("network").state is State.OK
    assert here.find("network", **good).state is State.OK
    assert "one availability zone" in here.find("network", **one_zone).sentence
    assert "not in" in here.find("network", **{**good, "SubnetIdB": one_zone["SubnetIdB"]}).sentence
    assert "not both" in here.find("network", **{**good, "SubnetIdB": "subnet-0000"}).sentence
    assert "SubnetIdA" in here.find("network", VpcId=good["VpcId"]).sentence


def test_an_existing_vpc_needs_dns(here: Here) -> None:
    good = vpc(A, B)
    boto3.client("ec2", REGION).modify_vpc_attribute(VpcId=good["VpcId"], EnableDnsSupport={"Value": False})

    assert "DNS support is off" in here.find("network", **good).sentence


# ---- Keys, API Gateway, SnapStart ----
def statement(service: str, *actions: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions), "Resource": "*"}


GRANTED: Final = [
    statement(
        f"logs.{REGION}.amazonaws.com",
        *("kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"),
    ),
    statement("delivery.logs.amazonaws.com", "kms:Decrypt", "kms:GenerateDataKey*"),
    statement("cloudwatch.amazonaws.com", "kms:*"),
]


def made_key(statements: list[dict[str, Any]]) -> str:
    kms = boto3.client("kms", REGION)
    key: str = kms.create_key(Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))["KeyMetadata"][
        "Arn"
    ]
    return key


def test_a_key_of_ones_own_lets_those_use_it_who_write_with_it(here: Here) -> None:
    assert here.find("key").state is State.OK
    assert here.find("key", KmsKeyArn=made_key(GRANTED)).state is State.OK


@pytest.mark.parametrize("missing", range(3))
def test_a_service_that_a_keys_policy_leaves_out_is_named(here: Here, missing: int) -> None:
    left = [each for number, each in enumerate(GRANTED) if number != missing]

    found = here.find("key", KmsKeyArn=made_key(left))

    assert found.state is State.WRONG
    assert GRANTED[missing]["Principal"]["Service"] in found.sentence


def test_the_statements_in_the_documentation_are_enough(here: Here) -> None:
    text = (ROOT / "docs" / "operations.md").read_text().partition("A key of your own")[2]
    documented = json.loads(text.partition("```json\n")[2].partition("```")[0].replace("<region>", REGION))

    assert here.find("key", KmsKeyArn=made_key(documented)).state is State.OK


def test_a_key_must_be_there_and_enabled(here: Here) -> None:
    key = made_key(GRANTED)
    boto3.client("kms", REGION).disable_key(KeyId=key.rpartition("/")[2])
    gone = f"arn:aws:kms:{REGION}:123456789012:key/00000000-0000-0000-0000-000000000000"

    for subject, parameter in (("key", "KmsKeyArn"), ("keys of data", "DataKeyArns")):
        assert "not enabled" in here.find(subject, **{parameter: key}).sentence
        assert "there is no key" in here.find(subject, **{parameter: gone}).sentence


def test_keys_of_data_are_looked_at_each(here: Here) -> None:
    keys = ",".join([made_key(GRANTED), made_key(GRANTED)])

    assert here.find("keys of data").state is State.OK
    assert here.find("keys of data", DataKeyArns=keys).sentence == "2 can be used"


@pytest.mark.parametrize(
    ("sets", "role", "state"),
    [
        ("true", None, State.OK),
        ("true", "arn:aws:iam::123456789012:role/theirs", State.WARNING),
        ("false", None, State.WRONG),
        ("false", "arn:aws:iam::123456789012:role/theirs", State.OK),
    ],
)
def test_the_accounts_one_role_for_the_logs_of_apis_is_not_replaced_unasked(
    here: Here, sets: str, role: str | None, state: State
) -> None:
    here.says("apigateway", ("get_account", {"cloudwatchRoleArn": role} if role else {}))

    assert here.find("API's log role", ApiGatewayLogRole=sets).state is state


def test_where_snapstart_is_offered_nobody_tells(here: Here) -> None:
    assert here.find("SnapStart").state is State.OK
    assert here.find("SnapStart", SnapStart="PublishedVersions").state is State.COULD_NOT_LOOK


# ---- The command ----
def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "HOME": "/nowhere"}
    command = [sys.executable, "-m", "tools.preflight", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_without_credentials_the_command_says_so_and_fails() -> None:
    done = run("--region", REGION, "--json")

    assert done.returncode == 1
    found = {each["subject"]: each["state"] for each in json.loads(done.stdout)}
    assert found.keys() == CHECK.keys()
    assert found["credentials"] == "wrong"
    assert "wrong           credentials:" in done.stderr


def test_a_parameter_without_a_value_is_a_wrong_call() -> None:
    assert run("--parameter", "WebAcl").returncode == 2
