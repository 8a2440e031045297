"""What CloudFormation would refuse, strand or leave as it was: rules over the templates, each giving what breaks it.

An emulator creates, updates and removes the stack (`make deploy-check`); these rules stand in where none is as strict
as the service. They take the templates as `documents` reads them, so that a test can hold an altered copy to them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Templates = Mapping[str, Mapping[str, Any]]

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
#: CloudFormation API, CreateStack: what a stack's name may be.
LONGEST_STACK_NAME: Final = "b" * 128
#: What names may have, by type and property, in characters.
NAME_LIMITS: Final[Mapping[tuple[str, str], int]] = {
    ("AWS::CloudWatch::Dashboard", "DashboardName"): 255,  # CloudWatch API, PutDashboard
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,  # CloudWatch Logs API, CreateLogGroup
    ("AWS::Logs::ResourcePolicy", "PolicyName"): 255,  # CloudFormation, AWS::Logs::ResourcePolicy
    ("AWS::Serverless::Api", "Name"): 1024,  # CloudFormation, AWS::ApiGateway::RestApi
}
_EXPORT_LIMIT: Final = 255  # CloudFormation template reference, "Outputs"


def rules_that_no_change_set_takes(templates: Templates) -> list[str]:
    """Rules may hold Ref and rule functions alone; a change set with any other is refused."""
    return [
        f"Rules hold {name}"
        for read in templates.values()
        for name, _ in _calls(read.get("Rules", {}))
        if name not in RULE_FUNCTIONS
    ]


def retained_for_what_goes(templates: Templates) -> list[str]:
    """What stays when the stack goes refers only to what stays too: else it is of no use, or holds up the removal."""
    root = templates[""]["Resources"]
    staying = {id for id, each in root.items() if str(each.get("DeletionPolicy", "")).startswith("Retain")}
    return [
        f"{id} stays and refers to {name}"
        for id in sorted(staying)
        for name in sorted(_referred(root[id].get("Properties", {}), root) - staying)
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


def names_beyond_limits(templates: Templates) -> list[str]:
    """Every name that is made from the stack's stays within its limit for the longest stack name."""
    found = []
    for read in templates.values():
        for id, each in read["Resources"].items():
            for (kind, name), limit in NAME_LIMITS.items():
                value = each.get("Properties", {}).get(name) if each["Type"] == kind else None
                if value is not None and len(_at_longest(value)) > limit:
                    found.append(f"{id}.{name} has {len(_at_longest(value))} characters, of {limit}")
        for output in read.get("Outputs", {}).values():
            export = output.get("Export", {}).get("Name")
            if export is not None and len(_at_longest(export)) > _EXPORT_LIMIT:
                found.append(f"an export is longer than {_EXPORT_LIMIT}")
    return found


def names_without_a_limit(templates: Templates) -> list[str]:
    """A name that is made from the stack's has its limit in the list here; what is not in it nobody has looked up."""
    return [
        f"{id}.{name} is made from the stack's name"
        for read in templates.values()
        for id, each in read["Resources"].items()
        for name, value in each.get("Properties", {}).items()
        if name.endswith("Name") and _is_of_the_stack(value) and (each["Type"], name) not in NAME_LIMITS
    ]


def rights_on_names_that_are_cut(templates: Templates) -> list[str]:
    """CloudFormation cuts the stack's name in the names that it makes up, so no right may go by how these begin.

    CloudFormation template reference, "Name type": a name that is too long for its service is made shorter.
    """
    return [
        f"{name or 'template.yaml'}: {found}"
        for name, read in templates.items()
        for found in re.findall(
            r'"(arn:[^"]*\$\{(?:AWS::StackName|DeploymentName)\}[^"]*)"', json.dumps(read["Resources"])
        )
    ]


def parameters_without_effect(templates: Templates) -> list[str]:
    """Each parameter changes something that runs, through conditions and nested stacks too."""
    found = []
    for name, read in templates.items():
        resources = {id: each for id, each in read["Resources"].items() if id != "Configuration"}
        text = (
            json.dumps(resources)
            + json.dumps(read.get("Globals", {}))
            + json.dumps(read.get("Outputs", {}) if name else {})
        )
        conditions = read.get("Conditions", {})
        used = {condition for condition in conditions if f'"{condition}"' in text}
        while more := {id for id in conditions for other in used if f'"{id}"' in json.dumps(conditions[other])} - used:
            used |= more
        text += json.dumps([conditions[condition] for condition in sorted(used)])
        found += [f"{id} changes nothing" for id in read.get("Parameters", {}) if not _mentions(text, id)]
    return found


def aliases_that_stay(templates: Templates) -> list[str]:
    """A parameter's new value reaches the function that an alias names: a version's description is replaced with it.

    AWS::Lambda::Version has Description among its create-only properties (its resource schema), and Lambda publishes no
    version of a function that has not changed, so the function itself carries the same number.
    """
    root = templates[""]
    user_data = root["Resources"]["Configuration"]["Properties"]["LaunchTemplateData"]["UserData"]
    counted = {argument for name, argument in _calls(user_data) if name == "Ref"}
    number = {"Fn::GetAtt": ["Configuration", "LatestVersionNumber"]}
    missing = [f"{id} is not counted" for id in root["Parameters"] if id not in counted]
    if root["Globals"]["Function"]["Environment"]["Variables"].get("CONFIGURATION_VERSION") != number:
        missing.append("the functions do not carry the number")
    return missing + [
        f"{id}'s versions do not carry the number"
        for id, each in root["Resources"].items()
        if each["Type"] == "AWS::Serverless::Function" and each["Properties"].get("VersionDescription") != number
    ]


def _calls(value: Any) -> Iterator[tuple[str, Any]]:
    """Give every Ref and intrinsic function in a value, with its argument."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name == "Ref" or name.startswith("Fn::"):
                yield name, part
            yield from _calls(part)
    elif isinstance(value, list):
        for part in value:
            yield from _calls(part)


def _referred(value: Any, resources: Mapping[str, Any]) -> set[str]:
    """Name the resources that a value refers to, those that SAM makes of a function's events by the function."""
    names = set()
    for name, argument in _calls(value):
        if name == "Ref":
            names.add(str(argument).partition(".")[0])
        elif name == "Fn::GetAtt":
            names.add(argument[0])
        elif name == "Fn::Sub":
            text = argument if isinstance(argument, str) else argument[0]
            names |= {found.partition(".")[0] for found in re.findall(r"\$\{([\w.]+)\}", text)}
    made = {name: [id for id in resources if name.startswith(id)] for name in names - resources.keys()}
    return (names & resources.keys()) | {max(ids, key=len) for ids in made.values() if ids}


def _upstream(id: str, templates: Templates) -> set[str]:
    """Name all that has to be there before a resource, by references and DependsOn, through any number of others."""
    resources = templates[""]["Resources"]
    seen: set[str] = set()
    left = [id]
    while left:
        for name in _needed_by(resources[left.pop()], templates) - seen:
            seen.add(name)
            left.append(name)
    return seen


def _needed_by(resource: Mapping[str, Any], templates: Templates) -> set[str]:
    own = dict(resource.get("Properties", {}))
    if resource["Type"] == "AWS::Serverless::Function":  # as SAM merges what all functions have in common
        common = templates[""]["Globals"]["Function"]
        variables = [each.get("Environment", {}).get("Variables", {}) for each in (common, own)]
        own = {**common, **own, "Environment": {**variables[0], **variables[1]}}
    depends = resource.get("DependsOn", [])
    named = _referred(own, templates[""]["Resources"])
    return named | set([depends] if isinstance(depends, str) else depends)


def _at_longest(value: Any) -> str:
    """Put the longest stack name and a long region into a name."""
    if value in ({"Ref": "AWS::StackName"}, {"Ref": "DeploymentName"}):
        return LONGEST_STACK_NAME
    text = value["Fn::Sub"] if isinstance(value, Mapping) else str(value)
    for name in ("AWS::StackName", "DeploymentName"):
        text = text.replace(f"${{{name}}}", LONGEST_STACK_NAME)
    return str(text).replace("${AWS::Region}", "ap-southeast-99")


def _is_of_the_stack(value: Any) -> bool:
    return any(name in json.dumps(value) for name in ("AWS::StackName", '"DeploymentName"', "${DeploymentName}"))


def _mentions(text: str, parameter: str) -> bool:
    return f'{{"Ref": "{parameter}"}}' in text or f"${{{parameter}}}" in text
