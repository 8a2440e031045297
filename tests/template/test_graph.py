"""The rules of graph.py hold, and each of them is broken when what it is for is undone."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.template import graph
from tests.template.reading import documents

Read = dict[str, dict[str, Any]]
RULES: list[Callable[[graph.Templates], list[str]]] = [
    graph.rules_that_no_change_set_takes,
    graph.retained_for_what_goes,
    graph.retained_when_a_creation_fails,
    graph.refusable_after_the_slow,
    graph.names_beyond_limits,
    graph.names_without_a_limit,
    graph.rights_on_names_that_are_cut,
    graph.parameters_without_effect,
    graph.aliases_that_stay,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_templates_keep_the_rule(rule: Callable[[graph.Templates], list[str]]) -> None:
    assert rule(documents()) == []


def test_no_two_templates_share_a_logical_id() -> None:
    ids = [id for read in documents().values() for id in read["Resources"]]

    assert len(ids) == len(set(ids))


def _set(path: str, value: Any, template: str = "") -> Callable[[Read], None]:
    """Give what sets the value at a path of names and numbers, as in Resources/Domain/DeletionPolicy."""

    def change(read: Read) -> None:
        at, last = _found(read[template], path)
        at[last] = value

    return change


def _drop(path: str, template: str = "") -> Callable[[Read], None]:
    def change(read: Read) -> None:
        at, last = _found(read[template], path)
        del at[last]

    return change


def _found(at: Any, path: str) -> tuple[Any, Any]:
    """Give what holds the last name or number of a path, and that one."""
    for name in (parts := path.split("/"))[:-1]:
        at = at[int(name) if isinstance(at, list) else name]
    return at, int(parts[-1]) if isinstance(at, list) else parts[-1]


UNDONE: dict[str, tuple[Callable[[graph.Templates], list[str]], Callable[[Read], None]]] = {
    "a rule that joins its subnets": (
        graph.rules_that_no_change_set_takes,
        _set("Rules/ExistingVpcNamesItsSubnets/RuleCondition", {"Fn::Equals": [{"Fn::Join": ["", ["a"]]}, ""]}),
    ),
    "the domain's stack names a role of this one": (
        graph.retained_for_what_goes,
        _set("Resources/DomainStack/Properties/Parameters/MasterRoleArn", {"Fn::GetAtt": ["HealthRole", "Arn"]}),
    ),
    "the domain's stack is retained alone": (
        graph.retained_for_what_goes,
        _set("Resources/Foundation/DeletionPolicy", "Delete"),
    ),
    "the domain's stack stays when its creation fails": (
        graph.retained_when_a_creation_fails,
        _set("Resources/DomainStack/DeletionPolicy", "Retain"),
    ),
    "the domain stays in a stack that goes": (
        graph.retained_when_a_creation_fails,
        _set("Resources/Domain/DeletionPolicy", "Retain", "infra/domain.yaml"),
    ),
    "the key stays in a stack that goes": (
        graph.retained_when_a_creation_fails,
        _set("Resources/Key/DeletionPolicy", "RetainExceptOnCreate", "infra/foundation.yaml"),
    ),
    "the domain waits for nothing": (graph.refusable_after_the_slow, _drop("Resources/DomainStack/DependsOn")),
    "the domain does not wait for the VPC endpoints": (
        graph.refusable_after_the_slow,
        _drop("Resources/MethodNotAllowed/Properties/Tags/network"),
    ),
    "the domain does not wait for the web ACL": (
        graph.refusable_after_the_slow,
        _drop("Resources/MethodNotAllowed/Properties/Tags/web-acl"),
    ),
    "every function needs the domain": (
        graph.refusable_after_the_slow,
        _drop("Resources/MethodNotAllowed/Properties/Environment"),
    ),
    "the state machine is named after the stack": (
        graph.names_without_a_limit,
        _set("Resources/JobStateMachine/Properties/StateMachineName", {"Fn::Sub": "${AWS::StackName}-job"}),
    ),
    "a dashboard's name that is too long": (
        graph.names_beyond_limits,
        _set(
            "Resources/Dashboard/Properties/DashboardName",
            {"Fn::Sub": "${AWS::StackName}-${AWS::StackName}-${AWS::Region}"},
        ),
    ),
    "rules are known by how their names begin": (
        graph.rights_on_names_that_are_cut,
        _set(
            "Resources/FailedEventsPolicy/Properties/PolicyDocument",
            {"Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/${AWS::StackName}-*"},
        ),
    ),
    "job definitions are known by the stack's name": (
        graph.rights_on_names_that_are_cut,
        _set("Resources/JobMapPolicy/Properties/PolicyDocument", "arn:aws:batch:::job-definition/${AWS::StackName}-*"),
    ),
    "a parameter that nothing uses": (
        graph.parameters_without_effect,
        _set("Parameters/Idle", {"Type": "String", "Default": ""}),
    ),
    "zones that are not chosen": (
        graph.parameters_without_effect,
        _drop("Resources/SubnetA/Properties/AvailabilityZone", "infra/foundation.yaml"),
    ),
    "a parameter that the count leaves out": (
        graph.aliases_that_stay,
        _drop(
            "Resources/Configuration/Properties/LaunchTemplateData/UserData/Fn::Base64/Fn::Join/1/4",
        ),
    ),
    "functions without the count": (
        graph.aliases_that_stay,
        _drop("Globals/Function/Environment/Variables/CONFIGURATION_VERSION"),
    ),
    "one function whose versions have no count": (
        graph.aliases_that_stay,
        _drop("Resources/CreateBot/Properties/VersionDescription"),
    ),
}


@pytest.mark.parametrize("what", UNDONE)
def test_what_is_undone_breaks_its_rule(what: str) -> None:
    rule, undo = UNDONE[what]
    read = copy.deepcopy(documents())

    undo(read)

    assert rule(read)
