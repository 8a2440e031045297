"""Intrinsic functions in a template's values: which are called, what they refer to, and what is under which name."""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

Templates = Mapping[str, Mapping[str, Any]]

#: Whose the endpoints are. They outlive the deployment that made them, so it is the first one's name that is theirs.
OWNER: Final = {"Fn::If": ["TakesOver", {"Ref": "TakeOver"}, {"Ref": "AWS::StackName"}]}


def kept(output: str, stack: str = "Foundation") -> dict[str, Any]:
    """Give what stands for an output of what stays: the import where a deployment takes over, else the output."""
    imported = {"Fn::ImportValue": {"Fn::Sub": f"${{TakeOver}}-{output}"}}
    return {"Fn::If": ["TakesOver", imported, {"Fn::GetAtt": [stack, f"Outputs.{output}"]}]}


def calls(value: Any) -> Iterator[tuple[str, Any]]:
    """Give every Ref and intrinsic function in a value, with its argument."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name == "Ref" or name.startswith("Fn::"):
                yield name, part
            yield from calls(part)
    elif isinstance(value, list):
        for part in value:
            yield from calls(part)


def references(value: Any) -> Iterator[str]:
    """Give all that a value refers to, with the attribute where it is one: `Key`, `Key.Arn`, `AWS::StackName`."""
    for name, argument in calls(value):
        if name == "Ref":
            yield str(argument)
        elif name == "Fn::GetAtt":
            yield argument if isinstance(argument, str) else ".".join(map(str, argument))
        elif name == "Fn::Sub":
            text, own = (argument, {}) if isinstance(argument, str) else argument
            yield from (found for found in re.findall(r"\$\{([^!}][^}]*)\}", text) if found not in own)


def referred(value: Any, resources: Mapping[str, Any]) -> set[str]:
    """Name the resources that a value refers to, those that SAM makes of a function's events by the function."""
    names = {reference.partition(".")[0] for reference in references(value)}
    made = {name: [id for id in resources if name.startswith(id)] for name in names - resources.keys()}
    return (names & resources.keys()) | {max(ids, key=len) for ids in made.values() if ids}


def under(names: Collection[str], value: Any) -> Iterator[Any]:
    """Give what is under one of these names, at any depth."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name in names:
                yield part
            else:
                yield from under(names, part)
    elif isinstance(value, list):
        for part in value:
            yield from under(names, part)


def functions(templates: Templates) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Give every function's id, its own properties, and its variables, merged with those of all as SAM does."""
    common = templates[""]["Globals"]["Function"]["Environment"]["Variables"]
    for id, each in templates[""]["Resources"].items():
        if each["Type"] == "AWS::Serverless::Function":
            own = each["Properties"]
            yield id, own, {**common, **own.get("Environment", {}).get("Variables", {})}
