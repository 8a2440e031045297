"""The rules of graph.py, naming.py and changing.py hold, and each is broken when what it is for is undone."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.template import changing, graph, naming
from tests.template.intrinsics import Templates
from tests.template.reading import documents
from tests.template.undoing import Change, both, dropping, setting

Rule = Callable[[Templates], list[str]]
DOMAIN = "infra/domain.yaml"
FOUNDATION = "infra/foundation.yaml"
#: Where the template has what is changed below.
RULE = "Rules/ExistingVpcNamesItsSubnets/RuleCondition"
MASTER = "Resources/DomainStack/Properties/Parameters/MasterRoleArn"
COUNTED = "Resources/Configuration/Properties/LaunchTemplateData/UserData/Fn::Base64/Fn::Join/1"
CONTROL = "Resources/ControlPolicy/Properties/PolicyDocument/Statement"
VARIABLES = "Globals/Function/Environment/Variables"
STACK = {"Ref": "AWS::StackName"}


def variable(function: str, name: str, value: Any) -> Change:
    return setting(f"Resources/{function}/Properties/Environment/Variables/{name}", value)


def right(resource: Any) -> Change:
    return setting("Resources/LookPolicy/Properties/PolicyDocument/Statement/0/Resource", resource)


def counted_without(parameter: str) -> Change:
    """Give what takes a parameter's value out of the count."""

    def change(read: dict[str, dict[str, Any]]) -> None:
        entries: Any = read[""]["Resources"]["Configuration"]["Properties"]["LaunchTemplateData"]["UserData"]
        entries["Fn::Base64"]["Fn::Join"][1].remove({"Ref": parameter})

    return change


UNDONE: dict[Rule, dict[str, Change]] = {
    graph.rules_that_no_change_set_takes: {
        "a rule that joins its subnets": setting(RULE, {"Fn::Equals": [{"Fn::Join": ["", ["a"]]}, ""]}),
        "a rule that names a condition": setting(RULE, {"Condition": "HasOwnVpc"}),
        "a rule that names one inside": setting(RULE, {"Fn::Not": [{"Condition": "HasOwnVpc"}]}),
        "a rule that looks at a resource": setting(RULE, {"Fn::Equals": [{"Ref": "FailedEvents"}, ""]}),
        "an assertion that looks at a resource": setting(
            "Rules/ExistingVpcNamesItsSubnets/Assertions/0/Assert", {"Fn::Equals": [{"Ref": "FailedEvents"}, ""]}
        ),
    },
    graph.lost_with_the_stack: {
        **{f"{id} goes": setting(f"Resources/{id}/DeletionPolicy", "Delete") for id in sorted(graph.STAYING)},
        **{f"{id} is replaced": dropping(f"Resources/{id}/UpdateReplacePolicy") for id in sorted(graph.STAYING)},
        "the domain's and the ground's stack go": both(
            setting("Resources/DomainStack/DeletionPolicy", "Delete"),
            setting("Resources/Foundation/DeletionPolicy", "Delete"),
        ),
        "a replaced domain goes": setting("Resources/Domain/UpdateReplacePolicy", "Delete", DOMAIN),
        "a log stays": setting("Resources/JobLogs/DeletionPolicy", "RetainExceptOnCreate"),
    },
    graph.retained_for_what_goes: {
        "the domain's stack names a role of this one": setting(MASTER, {"Fn::GetAtt": ["HealthRole", "Arn"]}),
        "it names it in the short form": setting(MASTER, {"Fn::GetAtt": "HealthRole.Arn"}),
        "it names it in a text": setting(MASTER, {"Fn::Sub": "${HealthRole.Arn}"}),
        "it names it as a text's variable": setting(
            MASTER, {"Fn::Sub": ["${Arn}", {"Arn": {"Fn::GetAtt": "HealthRole.Arn"}}]}
        ),
        "the domain's stack is retained alone": setting("Resources/Foundation/DeletionPolicy", "Delete"),
        "the ground waits for a log": setting("Resources/Foundation/DependsOn", "JobLogs"),
        "the API's account waits for logs": setting("Resources/ApiGatewayAccount/DependsOn", ["JobLogs"]),
    },
    graph.retained_when_a_creation_fails: {
        "the domain's stack stays when its creation fails": setting("Resources/DomainStack/DeletionPolicy", "Retain"),
        "the domain stays in a stack that goes": setting("Resources/Domain/DeletionPolicy", "Retain", DOMAIN),
        "the key stays in a stack that goes": setting(
            "Resources/Key/DeletionPolicy", "RetainExceptOnCreate", FOUNDATION
        ),
    },
    graph.endpoints_that_nobody_can_remove: {
        "a role that goes": variable("CreateBot", "SAGEMAKER_ROLE_ARN", {"Fn::GetAtt": ["JobRole", "Arn"]}),
        "no role of the templates": variable("CreateBot", "SAGEMAKER_ROLE_ARN", "arn:aws:iam::123456789012:role/x"),
        "an owner that goes": variable("CreateBot", "OWNER_TAG", STACK),
        "a right by an owner that goes": setting(
            f"{CONTROL}/3/Condition/StringEquals", {"aws:ResourceTag/byob:managed-by": STACK}
        ),
        "a right by no owner": dropping(f"{CONTROL}/3/Condition"),
    },
    graph.imports_of_nothing: {
        "an import that nothing exports": setting(
            "Resources/MapRoles/Properties/Role/Fn::If/1", {"Fn::ImportValue": {"Fn::Sub": "${TakeOver}-RoleArn"}}
        ),
        "an import that is made always": setting(
            "Resources/MapRoles/Properties/Role", {"Fn::ImportValue": {"Fn::Sub": "${TakeOver}-MapRolesRoleArn"}}
        ),
        "an import in another's place": setting(
            "Resources/MapRoles/Properties/Role/Fn::If/1",
            {"Fn::ImportValue": {"Fn::Sub": "${TakeOver}-EndpointRoleArn"}},
        ),
        "an import of another deployment's": setting(
            "Resources/MapRoles/Properties/Role/Fn::If/1", {"Fn::ImportValue": "byob-MapRolesRoleArn"}
        ),
        "the domain's address is not exported": dropping("Outputs/Url/Export", DOMAIN),
        "the key is not exported": dropping("Outputs/KeyArn/Export", FOUNDATION),
        "the key is exported as something else": setting(
            "Outputs/KeyArn/Export/Name", {"Fn::Sub": "${DeploymentName}-Key"}, FOUNDATION
        ),
    },
    graph.refusable_after_the_slow: {
        "the domain waits for nothing": dropping("Resources/DomainStack/DependsOn"),
        "it does not wait for the VPC endpoints": dropping("Resources/MethodNotAllowed/Properties/Tags/network"),
        "it does not wait for the web ACL": dropping("Resources/MethodNotAllowed/Properties/Tags/web-acl"),
        "every function needs the domain": dropping("Resources/MethodNotAllowed/Properties/Environment"),
    },
    naming.names_beyond_limits: {
        "the state machine is named after the stack": setting(
            "Resources/JobStateMachine/Properties/StateMachineName", {"Fn::Sub": "${AWS::StackName}-job"}
        ),
        "the state machine has a name of its own": setting("Resources/JobStateMachine/Properties/Name", "job"),
        "a role has a name of its own": setting("Resources/JobRole/Properties/RoleName", "bots"),
        "a dashboard's name that is too long": setting(
            "Resources/Dashboard/Properties/DashboardName",
            {"Fn::Sub": "${AWS::StackName}-${AWS::StackName}-${AWS::Region}"},
        ),
        "an export's name that is too long": setting(
            "Outputs/KeyArn/Export/Name", {"Fn::Sub": "${DeploymentName}-${DeploymentName}"}, FOUNDATION
        ),
    },
    naming.names_that_meet: {
        "two logs of one name": setting(
            "Resources/JobLogs/Properties/LogGroupName", {"Fn::Sub": "/byob/${AWS::StackName}/access"}
        ),
        "two logs of one name in two stacks of one deployment": setting(
            "Resources/DomainLogs/Properties/LogGroupName", {"Fn::Sub": "/byob/${DeploymentName}/functions"}, DOMAIN
        ),
        "a log without the stack's name": setting("Resources/JobLogs/Properties/LogGroupName", "/byob/jobs"),
        "an export without the deployment's name": setting("Outputs/KeyArn/Export/Name", "KeyArn", FOUNDATION),
    },
    naming.rights_on_names_that_are_cut: {
        "events' rules are known by how their names begin": setting(
            "Resources/FailedEventsPolicy/Properties/PolicyDocument",
            {"Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/${AWS::StackName}-*"},
        ),
        "a right by the stack's name": right({"Fn::Sub": "arn:aws:sagemaker:::endpoint/${AWS::StackName}-*"}),
        "a right by the name as a text's variable": right(
            {"Fn::Sub": ["arn:aws:sagemaker:::endpoint/${Name}-*", {"Name": STACK}]}
        ),
        "a right by the name, joined": right({"Fn::Join": ["", ["arn:aws:sagemaker:::endpoint/", STACK, "-*"]]}),
        "a right by the deployment's name": setting(
            "Resources/MapRolesRole/Properties/Policies/0/PolicyDocument/Statement/0/Resource",
            {"Fn::Sub": "arn:aws:es:::domain/${DeploymentName}/*"},
            FOUNDATION,
        ),
        "job definitions are known by the stack's name": variable(
            "PrepareSlices", "JOB_DEFINITION_PREFIX", {"Fn::Sub": "byob-${AWS::StackName}"}
        ),
    },
    changing.parameters_without_effect: {
        "a parameter that nothing uses": setting("Parameters/Idle", {"Type": "String", "Default": ""}),
        "a parameter that is only told of": both(
            setting("Parameters/Idle", {"Type": "String", "Default": ""}),
            setting("Resources/JobRole/Properties/Description", {"Ref": "Idle"}),
        ),
        "a parameter of a condition that nothing uses": both(
            setting("Parameters/Idle", {"Type": "String", "Default": ""}),
            setting("Conditions/IsIdle", {"Fn::Equals": [{"Ref": "Idle"}, ""]}),
        ),
        "zones that are not chosen": dropping("Resources/SubnetA/Properties/AvailabilityZone", FOUNDATION),
    },
    changing.aliases_that_stay: {
        "a parameter that the count leaves out": counted_without("LogLevel"),
        "a parameter that is counted in a choice alone": both(
            counted_without("LogLevel"), setting(f"{COUNTED}/0", {"Fn::If": ["TakesOver", {"Ref": "LogLevel"}, ""]})
        ),
        "functions without the count": dropping(f"{VARIABLES}/CONFIGURATION_VERSION"),
        "one function with a count of its own": variable("CreateBot", "CONFIGURATION_VERSION", "1"),
        "one function whose versions have no count": dropping("Resources/CreateBot/Properties/VersionDescription"),
        "functions without an alias": setting("Globals/Function/AutoPublishAlias", ""),
        "one function without an alias": setting("Resources/CreateBot/Properties/AutoPublishAlias", ""),
        "functions that are published with new code alone": setting(
            "Globals/Function/AutoPublishAliasAllProperties", False
        ),
        "one function that is published with new code alone": setting(
            "Resources/CreateBot/Properties/AutoPublishAliasAllProperties", False
        ),
        "versions that a failed update leaves behind": dropping("Globals/Function/VersionDeletionPolicy"),
        "versions of one function that it leaves behind": setting(
            "Resources/CreateBot/Properties/VersionDeletionPolicy", "Retain"
        ),
    },
    changing.variables_that_differ: {
        "one function that allows any instance": variable("UpdateBot", "ALLOWED_INSTANCE_TYPES", "*"),
        "one function with another bound": variable("RetryJob", "BOT_MAX_VCPUS", {"Ref": "JobMaxVcpus"}),
        "one function with another index": setting(
            "Resources/GetBot/Properties/Environment", {"Variables": {"INDEX_PREFIX": "other"}}
        ),
    },
}


@pytest.mark.parametrize("rule", UNDONE, ids=lambda rule: rule.__name__)
def test_the_templates_keep_the_rule(rule: Rule) -> None:
    assert rule(documents()) == []


def test_no_two_templates_share_a_logical_id() -> None:
    ids = [id for read in documents().values() for id in read["Resources"]]

    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("rule", "what"),
    [pytest.param(rule, what, id=f"{rule.__name__}: {what}") for rule, undone in UNDONE.items() for what in undone],
)
def test_what_is_undone_breaks_its_rule(rule: Rule, what: str) -> None:
    read = copy.deepcopy(documents())

    UNDONE[rule][what](read)

    assert read != documents()
    assert rule(read)
