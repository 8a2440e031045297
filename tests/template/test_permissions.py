"""Each function's role allows what its code can ask for, and no more."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opensearchpy import OpenSearch, Urllib3HttpConnection

from local.template import document, functions
from tests.reach import OPENSEARCH_CALLS, reached_by
from tests.template.intrinsics import kept
from tests.template.reading import BY_S3, RUN, documents, listed, resources

HANDLERS = {id: function.handler.split(".")[1] for id, function in functions().items()}
#: What IAM cannot narrow (service authorization reference); the template says so beside each.
UNBOUNDED = {action for action in RUN if action.startswith(("ec2:", "xray:"))} | {
    "batch:DescribeJobDefinitions",
    "batch:DescribeJobQueues",
    "batch:DescribeJobs",
    "batch:ListJobs",
    "cloudwatch:PutMetricData",
    "ecr:GetAuthorizationToken",
    "ecs:DiscoverPollEndpoint",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "sagemaker:ListEndpoints",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
}
#: The roles that a function hands to a service.
PASSED = (
    {"Fn::GetAtt": ["JobExecutionRole", "Arn"]},
    {"Fn::GetAtt": ["JobRole", "Arn"]},
    kept("EndpointRoleArn"),
)


def statements_of(role: str) -> Iterator[dict[str, Any]]:
    """Give every statement that is in force for a role: its own, and those of the policies that name it."""
    properties = resources("AWS::IAM::Role")[role]
    for attached in properties.get("ManagedPolicyArns", []):
        if attached.get("Ref"):
            yield from resources("AWS::IAM::ManagedPolicy")[attached["Ref"]]["PolicyDocument"]["Statement"]
    for inline in properties.get("Policies", []):
        yield from inline["PolicyDocument"]["Statement"]
    for policy in (resources("AWS::IAM::Policy") | resources("AWS::IAM::ManagedPolicy")).values():
        if any(_names(entry, role) for entry in policy.get("Roles", [])):
            yield from policy["PolicyDocument"]["Statement"]


def _names(entry: Any, role: str) -> bool:
    """Tell whether an entry of a policy's Roles is this role, which may be one that a nested stack puts out."""
    return entry == {"Ref": role} or f"Outputs.{role}Name" in json.dumps(entry)


def allowed_to(role: str) -> set[str]:
    statements = (each for each in statements_of(role) if each["Effect"] == "Allow")
    return {action for each in statements for action in listed(each["Action"])}


@pytest.mark.parametrize("id", sorted(HANDLERS))
def test_a_role_allows_exactly_what_its_function_can_call(id: str) -> None:
    reached = reached_by(HANDLERS[id]).actions
    needed = reached | (BY_S3 if "s3:GetObject" in reached else set())

    assert allowed_to(f"{id}Role") - RUN == needed


@pytest.mark.parametrize("id", sorted(HANDLERS))
def test_a_function_has_a_role_of_its_own_that_lets_it_run(id: str) -> None:
    role = document()["Resources"][id]["Properties"]["Role"]

    assert role == {"Fn::GetAtt": [f"{id}Role", "Arn"]} or f"Outputs.{id}RoleArn" in json.dumps(role)
    assert allowed_to(f"{id}Role") >= RUN


def test_nothing_is_allowed_on_everything_that_could_be_narrowed() -> None:
    roles = resources("AWS::IAM::Role")
    unbounded = {
        action
        for role in roles
        for statement in statements_of(role)
        if statement["Effect"] == "Allow" and "*" in listed(statement["Resource"])
        for action in listed(statement["Action"])
    }

    assert unbounded == UNBOUNDED


def test_no_role_allows_actions_by_a_pattern() -> None:
    patterns = {(role, action) for role in resources("AWS::IAM::Role") for action in allowed_to(role) if "*" in action}

    assert patterns == set()


def test_an_instance_may_be_part_of_a_cluster_and_no_more() -> None:
    """A bot can take this role on: containers of Batch share the instance's network, its metadata included."""
    assert "ManagedPolicyArns" not in resources("AWS::IAM::Role")["JobInstanceRole"]
    assert allowed_to("JobInstanceRole") == {
        "ecs:DeregisterContainerInstance",
        "ecs:DiscoverPollEndpoint",
        "ecs:Poll",
        "ecs:RegisterContainerInstance",
        "ecs:StartTelemetrySession",
        "ecs:SubmitAttachmentStateChanges",
        "ecs:SubmitContainerStateChange",
        "ecs:SubmitTaskStateChange",
        "ecs:TagResource",
        "ecs:UpdateContainerInstancesState",
    }


def test_an_instance_that_is_told_to_drain_itself_may() -> None:
    """Amazon ECS developer guide, "Spot Instances": its agent does so, by ecs:UpdateContainerInstancesState."""
    data = resources("AWS::EC2::LaunchTemplate")["JobLaunchTemplate"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]

    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in data
    assert "ecs:UpdateContainerInstancesState" in allowed_to("JobInstanceRole")


def test_the_key_lets_in_the_account_and_what_writes_under_it() -> None:
    """CloudWatch Logs user guide, "Encrypt log data"; Step Functions developer guide, "Data at rest encryption"; SNS.

    The first is for log groups, the second for what Step Functions delivers to one, the last for alarms to the topic.
    """
    statements = resources("AWS::KMS::Key")["Key"]["KeyPolicy"]["Statement"]

    assert {each["Effect"] for each in statements} == {"Allow"}
    assert [(each["Principal"], set(listed(each["Action"]))) for each in statements] == [
        ({"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}, {"kms:*"}),
        (
            {"Service": {"Fn::Sub": "logs.${AWS::Region}.${AWS::URLSuffix}"}},
            {"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"},
        ),
        ({"Service": _principal("LogDelivery")}, {"kms:Decrypt", "kms:GenerateDataKey*"}),
        ({"Service": _principal("CloudWatch")}, {"kms:Decrypt", "kms:GenerateDataKey*"}),
    ]
    assert documents()["infra/foundation.yaml"]["Mappings"]["Principals"]["LogDelivery"] == {
        "Service": "delivery.logs.amazonaws.com"
    }


def _principal(name: str) -> dict[str, Any]:
    return {"Fn::FindInMap": ["Principals", name, "Service"]}


def test_bots_and_endpoints_may_use_the_buckets_keys_through_s3_alone() -> None:
    keys = [
        each for role in ("JobRole", "EndpointRole") for each in statements_of(role) if "kms:" in str(each["Action"])
    ]

    assert {action for action in allowed_to("JobRole") if action[:4] == "kms:"} == BY_S3 | {"kms:GenerateDataKey"}
    assert {action for action in allowed_to("EndpointRole") if action[:4] == "kms:"} == BY_S3
    assert keys
    for statement in keys:
        assert statement["Resource"] == {"Ref": "DataKeyArns"}
        assert "kms:ViaService" in statement["Condition"]["StringEquals"]


def test_an_endpoint_may_tell_its_metrics() -> None:
    assert "cloudwatch:PutMetricData" in allowed_to("EndpointRole")


def test_a_role_is_passed_to_one_service_alone() -> None:
    passing = [
        (role, statement)
        for role in resources("AWS::IAM::Role")
        for statement in statements_of(role)
        if "iam:PassRole" in listed(statement["Action"])
    ]

    assert passing
    for _, statement in passing:
        assert statement["Action"] == "iam:PassRole"
        assert "iam:PassedToService" in statement["Condition"]["StringEquals"]
        assert statement["Resource"] in PASSED


def test_the_domains_own_policy_leaves_it_to_the_accounts_roles() -> None:
    """It outlives them, so it can name none; one that names the account lets in nobody whose own policies do not."""
    (statement,) = resources("AWS::OpenSearchService::Domain")["Domain"]["AccessPolicies"]["Statement"]

    assert statement["Principal"] == {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    assert statement["Action"] == "es:ESHttp*"


def test_the_roles_mapped_in_the_domain_are_those_that_may_reach_it() -> None:
    variables = document()["Resources"]["MapRoles"]["Properties"]["Environment"]["Variables"]
    mapped = {name: _roles_in(value) for name, value in variables.items()}

    verbs = {
        f"{id}Role": {action.removeprefix("es:ESHttp") for action in reached_by(handler).actions if action[:3] == "es:"}
        for id, handler in HANDLERS.items()
        if id not in ("MapRoles", "ManageSnapshots")
    }
    assert mapped == {
        "ROLES_THAT_MONITOR": {role for role in verbs if _may_ask_the_domain_itself(role)},
        "ROLES_THAT_READ": {role for role, used in verbs.items() if "Post" in used and "Put" not in used},
        "ROLES_THAT_WRITE": {role for role, used in verbs.items() if "Put" in used},
        "ROLES_THAT_RUN_BOTS": {"JobRole"},
        "ROLES_THAT_OPERATE": {"ManageSnapshotsRole"},
    }


def _may_ask_the_domain_itself(role: str) -> bool:
    """Tell whether a role is allowed GET /, which is in no index."""
    return any("domain/${OpenSearchDomainName}/'" in str(each["Resource"]) for each in statements_of(role))


def _roles_in(value: Any) -> set[str]:
    arns = value["Fn::Join"][1] if "Fn::Join" in value else [value]
    return {arn["Fn::GetAtt"][0] for arn in arns}


class _Recorder(Urllib3HttpConnection):
    """Notes a request's method and answers nothing."""

    methods: list[str] = []  # noqa: RUF012 - one for all connections

    def perform_request(self, method: str, *_args: Any, **_kwargs: Any) -> Any:
        self.methods.append(method)
        return 200, {}, "{}"


@pytest.mark.parametrize("call", sorted(OPENSEARCH_CALLS))
def test_a_call_of_opensearch_py_sends_the_method_that_is_allowed_for_it(call: str) -> None:
    client: Any = OpenSearch(hosts=["http://127.0.0.1:9"], connection_class=_Recorder)
    every: dict[str, dict[str, Any]] = {
        "get": {"index": "i", "id": "1"},
        "mget": {"index": "i", "body": {}},
        "search": {"index": "i", "body": {}},
        "index": {"index": "i", "id": "1", "body": {}, "params": {"op_type": "create"}},
        "count": {"index": "i", "body": {}},
        "delete": {"index": "i", "id": "1"},
        "indices.create": {"index": "i", "body": {}},
        "indices.put_alias": {"index": "i", "name": "a"},
        "indices.put_mapping": {"index": "i", "body": {}},
        "indices.refresh": {"index": "i"},
        "indices.get_alias": {"index": "i"},
        "indices.recovery": {"index": "i"},
        "indices.update_aliases": {"body": {}},
        "snapshot.get": {"repository": "r", "snapshot": "s"},
        "snapshot.restore": {"repository": "r", "snapshot": "s", "body": {}},
        "info": {},
        "transport.perform_request PUT": {"method": "PUT", "url": "/x"},
    }
    for part in call.partition(" ")[0].split("."):
        client = getattr(client, part)

    client(**every[call])

    assert _Recorder.methods.pop() == OPENSEARCH_CALLS[call].upper()
