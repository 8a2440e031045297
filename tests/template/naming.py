"""Rules over names that the templates choose, and over what goes by names that AWS chooses; each gives what breaks it.

What is named after the stack meets nothing of another one; where a stack's name is too long for that, AWS chooses.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from local import arns
from local.cloudformation import Stack
from tests.template.intrinsics import OWNER, Templates, references, under

#: CloudFormation API, CreateStack: what a stack's name may be; and another that differs as late as it can.
LONGEST_STACK_NAMES: Final = ("b" * 128, "b" * 127 + "c")
#: As long as a region's name may get.
_LONGEST_REGION: Final = "ap-southeast-99"
#: What names may have, by type and property, in characters.
NAME_LIMITS: Final[Mapping[tuple[str, str], int]] = {
    ("AWS::CloudWatch::Dashboard", "DashboardName"): 255,  # CloudWatch API, PutDashboard
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,  # CloudWatch Logs API, CreateLogGroup
    ("AWS::Logs::ResourcePolicy", "PolicyName"): 255,  # CloudFormation, AWS::Logs::ResourcePolicy
    ("AWS::Serverless::Api", "Name"): 1024,  # CloudFormation, AWS::ApiGateway::RestApi
    ("Output", "Export"): 255,  # CloudFormation template reference, "Outputs"
}
#: Properties that give a resource no name that another could have, with what they are instead.
NO_NAMES: Final[Mapping[tuple[str, str], str]] = {
    ("AWS::CloudWatch::Alarm", "MetricName"): "what it looks at",
    ("AWS::EC2::FlowLog", "LogGroupName"): "where it writes to",
    ("AWS::EC2::VPCEndpoint", "ServiceName"): "what it leads to",
    ("AWS::IAM::Policy", "PolicyName"): "a name inside a role",
    ("AWS::OpenSearchService::Domain", "DomainName"): "the choice of whoever deploys",
    ("AWS::Serverless::Api", "StageName"): "a name inside the API",
}
#: Where a name that is not the right one takes rights, or hands something on that is never found.
_RELIED_ON: Final = frozenset(
    {"AccessPolicies", "DefinitionSubstitutions", "KeyPolicy", "Policies", "PolicyDocument", "Variables"}
)


def names_beyond_limits(templates: Templates) -> list[str]:
    """Every name stays within its limit for the longest stack name; one without a limit nobody has looked up."""
    found = []
    for id, kind, value in _names(templates):
        length = len(_resolved(value, LONGEST_STACK_NAMES[0]).replace(arns.REGION, _LONGEST_REGION))
        if kind not in NAME_LIMITS:
            found.append(f"{id} is named by its {kind[1]}")
        elif length > NAME_LIMITS[kind]:
            found.append(f"{id} has a name of {length} characters, of {NAME_LIMITS[kind]}")
    return found


def names_that_meet(templates: Templates) -> list[str]:
    """No two things of a kind have one name, in a stack or in two that only the end of their names tells apart."""
    chosen = Counter(
        (kind, _resolved(value, stack)) for stack in LONGEST_STACK_NAMES for _, kind, value in _names(templates)
    )
    return [f"{count} of the type {kind} are named {name}" for ((kind, _), name), count in chosen.items() if count > 1]


def rights_on_names_that_are_cut(templates: Templates) -> list[str]:
    """CloudFormation cuts the stack's name in the names that it makes up, so nothing may go by how these begin.

    CloudFormation template reference, "Name type": a name that is too long for its service is made shorter.
    """
    return [
        f"{id} goes by the stack's name"
        for read in templates.values()
        for id, each in {**read["Resources"], "Globals": read.get("Globals", {})}.items()
        for value in under(_RELIED_ON, each)
        if {"AWS::StackName", "DeploymentName"} & set(references(_without(OWNER, value)))
    ]


def _names(templates: Templates) -> Iterator[tuple[str, tuple[str, str], Any]]:
    """Give whatever has a name that the templates choose: its id, type and property, and the name."""
    for read in templates.values():
        for id, each in read["Resources"].items():
            for property, value in each.get("Properties", {}).items():
                if property.endswith("Name") and (each["Type"], property) not in NO_NAMES:
                    yield id, (each["Type"], property), value
        for id, output in read.get("Outputs", {}).items():
            if "Export" in output:
                yield id, ("Output", "Export"), output["Export"]["Name"]


def _resolved(value: Any, stack: str) -> str:
    """Give what a name comes to in a stack, in the root template or in one that is told the deployment's name."""
    document: Mapping[str, Any] = {"Parameters": {"DeploymentName": {"Type": "String"}}, "Resources": {}}
    return str(Stack(Path(), {"DeploymentName": stack}, name=stack, document=document).resolve(value))


def _without(part: Any, value: Any) -> Any:
    return json.loads(json.dumps(value).replace(json.dumps(part), "null"))
