"""What CloudFormation would refuse, strand or lose: rules over what refers to what, each giving what breaks it.

An emulator creates, updates and removes the stack (`make deploy-check`); these rules, with those on names (naming.py)
and on changes (changing.py), stand in where none is as strict as the service. They take the templates as `documents`
reads them, so that a test can hold an altered copy to them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.template.intrinsics import OWNER, Templates, calls, functions, referred, under

#: CloudFormation template reference, "Rules": these and Ref, and no others.
RULE_FUNCTIONS: Final = frozenset(
    {
        "Fn::And",
        "Fn::Contains",
        "Fn::EachMemberEquals",
        "Fn::EachMemberIn",
        "Fn::Equals",
        "Fn::Not",
        "Fn::Or",
        "Fn::RefAll",
        "Fn::ValueOf",
        "Fn::ValueOfAll",
        "Ref",
    }
)
#: What stays when the stack goes: what the next deployment takes over, and what others in the account may rely on.
STAYING: Final = frozenset({"ApiGatewayAccount", "ApiGatewayLogsRole", "DomainStack", "Foundation"})
#: What an account or a region may refuse although the template is right, with what for.
REFUSABLE: Final[Mapping[str, str]] = {
    "AWS::ApiGateway::Account": "the role is not there yet, or may not be used",
    "AWS::Batch::ComputeEnvironment": "a service-linked role, an instance type, a quota",
    "AWS::Batch::JobQueue": "a quota, or its compute environment",
    "AWS::CloudFormation::Stack": "whatever is in it: a VPC endpoint that a zone does not have",
    "AWS::CloudWatch::Dashboard": "a name that is taken",
    "AWS::EC2::LaunchTemplate": "a quota",
    "AWS::Logs::LogGroup": "a name that is taken, or a key that does not let the logs in",
    "AWS::SNS::Topic": "a key",
    "AWS::Serverless::Function": "a quota of concurrency, or what the region does not have",
    "AWS::WAFv2::WebACL": "a region without it, a quota",
}
#: The one that takes half an hour.
SLOW: Final = "DomainStack"


def rules_that_no_change_set_takes(templates: Templates) -> list[str]:
    """Rules may hold rule functions and Ref to parameters alone; a change set with anything else is refused.

    CloudFormation user guide, "Rules": they look at parameters, before there is any condition or resource.
    """
    found = []
    for read in templates.values():
        for name, argument in _called_by_rules(read.get("Rules", {})):
            if name not in RULE_FUNCTIONS:
                found.append(f"Rules hold {name}")
            elif name == "Ref" and argument not in read["Parameters"]:
                found.append(f"Rules refer to {argument}")
    return found


def lost_with_the_stack(templates: Templates) -> list[str]:
    """Just what is meant to stay stays, and what holds the bots is not even lost to a change that replaces it.

    CloudFormation template reference, "UpdateReplacePolicy attribute": the DeletionPolicy is not for replacements.
    """
    root = templates[""]["Resources"]
    meant = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
    found = [f"{id} has not the policies {meant}" for id in sorted(STAYING) if not meant.items() <= root[id].items()]
    found += [f"{id} stays" for id in sorted(_staying(root) - STAYING)]
    if templates["infra/domain.yaml"]["Resources"]["Domain"].get("UpdateReplacePolicy") != "Retain":
        found.append("the domain is lost when it is replaced")
    return found


def retained_for_what_goes(templates: Templates) -> list[str]:
    """What stays when the stack goes needs only what stays too: else it is of no use, or holds up the removal.

    What the slow one depends on is not counted: it is there for the order alone.
    """
    root = templates[""]["Resources"]
    staying = _staying(root)
    return [
        f"{id} stays and refers to {name}"
        for id in sorted(staying)
        for name in sorted((_awaited(root[id]) if id != SLOW else set()) | referred(root[id].get("Properties"), root))
        if name not in staying
    ]


def retained_when_a_creation_fails(templates: Templates) -> list[str]:
    """With Retain a resource stays when its creation is rolled back, and the next one finds its name taken.

    CloudFormation template reference, "DeletionPolicy attribute": RetainExceptOnCreate does not. In a nested stack that
    goes as a whole, any retention keeps what the stack itself lets go.
    """
    return [
        f"{id} has the DeletionPolicy {policy}"
        for name, read in templates.items()
        for id, each in read["Resources"].items()
        for policy in [each.get("DeletionPolicy", "Delete")]
        if policy == "Retain" or (name and policy != "Delete")
    ]


def endpoints_that_nobody_can_remove(templates: Templates) -> list[str]:
    """An endpoint outlives the deployment that made it: its role stays, and who takes over is its owner.

    SageMaker API, DeleteEndpoint: without the role it cannot remove what the endpoint is made of.
    """
    root = templates[""]["Resources"]
    found = []
    for id, _, variables in functions(templates):
        if variables.get("OWNER_TAG", OWNER) != OWNER:
            found.append(f"{id} takes another name for the owner")
        if "SAGEMAKER_ROLE_ARN" in variables:
            roles = referred(variables["SAGEMAKER_ROLE_ARN"], root)
            if not roles or roles - _staying(root):
                found.append(f"{id} gives endpoints a role that goes")
    if list(under({"aws:ResourceTag/byob:managed-by"}, root)) != [OWNER]:
        found.append("the right to remove an endpoint is not the owner's")
    return found


def imports_of_nothing(templates: Templates) -> list[str]:
    """Where a deployment takes over, it imports just what it would otherwise have got from its own nested stacks."""
    root = templates[""]
    exports = {
        (id, f"Outputs.{name}"): output.get("Export", {}).get("Name")
        for id in STAYING
        if (path := root["Resources"][id]["Properties"].get("TemplateURL"))
        for name, output in templates[path]["Outputs"].items()
    }
    found = []
    for value in _with_imports({**root["Resources"], "Globals": root["Globals"]}):
        imported = json.dumps([argument for name, argument in calls(value) if name == "Fn::ImportValue"])
        own = [exports.get(tuple(argument)) for name, argument in calls(value) if name == "Fn::GetAtt"]
        if imported != json.dumps(own).replace("${DeploymentName}", "${TakeOver}"):
            found.append(f"{imported} stands in for {own}")
    return found


def refusable_after_the_slow(templates: Templates) -> list[str]:
    """What may be refused is tried before the half hour that the domain takes, unless it needs the domain."""
    root = templates[""]["Resources"]
    before = _upstream(SLOW, templates)
    late = [
        f"{id} may be refused ({REFUSABLE[each['Type']]}), and comes after {SLOW}"
        for id, each in root.items()
        if each["Type"] in REFUSABLE and id != SLOW and id not in before and SLOW not in _upstream(id, templates)
    ]
    if SLOW in before or not any(root[id]["Type"] == "AWS::Serverless::Function" for id in before):
        late.append("no function comes before, so what a function is refused for is learnt after")
    return late


def _called_by_rules(rules: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give whatever looks like a function, known or not, in conditions and assertions."""
    left = list(under({"RuleCondition", "Assert"}, rules))
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            yield from value.items()
            left += value.values()
        elif isinstance(value, list):
            left += value


def _staying(resources: Mapping[str, Any]) -> set[str]:
    return {id for id, each in resources.items() if str(each.get("DeletionPolicy", "")).startswith("Retain")}


def _with_imports(value: Any) -> Iterator[Any]:
    """Give each choice that has an import in it, the outermost one; and each import that is in no choice."""
    if isinstance(value, Mapping):
        choice = value.keys() & {"Fn::If", "Fn::ImportValue"}
        if choice and any(name == "Fn::ImportValue" for name, _ in calls(value)):
            yield value
        elif not choice:
            for part in value.values():
                yield from _with_imports(part)
    elif isinstance(value, list):
        for part in value:
            yield from _with_imports(part)


def _upstream(id: str, templates: Templates) -> set[str]:
    """Name all that has to be there before a resource, by references and DependsOn, through any number of others."""
    seen: set[str] = set()
    left = [id]
    while left:
        for name in _needed_by(left.pop(), templates) - seen:
            seen.add(name)
            left.append(name)
    return seen


def _needed_by(id: str, templates: Templates) -> set[str]:
    resources = templates[""]["Resources"]
    own = dict(resources[id].get("Properties", {}))
    if variables := {function: merged for function, _, merged in functions(templates)}.get(id):
        own = {**templates[""]["Globals"]["Function"], **own, "Environment": variables}
    return referred(own, resources) | _awaited(resources[id])


def _awaited(resource: Mapping[str, Any]) -> set[str]:
    depends = resource.get("DependsOn", [])
    return {depends} if isinstance(depends, str) else set(depends)
