"""Rules over what a changed parameter changes, and where: each gives what breaks it."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tests.template.intrinsics import Templates, functions, references

#: How every function is published. AWS SAM, AWS::Serverless::Function: a changed property of it publishes it as well
#: as changed code. AWS::Lambda::Version, without the last: Lambda publishes no version that is like the latest one,
#: which a failed update would leave behind for the next try to stumble over.
PUBLISHED: Final = {
    "AutoPublishAlias": "live",
    "AutoPublishAliasAllProperties": True,
    "VersionDeletionPolicy": "Delete",
}
#: Counts the changes.
NUMBER: Final = {"Fn::GetAtt": ["Configuration", "LatestVersionNumber"]}
#: Where a function has another value than the others, with why.
DIFFERING: Final[Mapping[tuple[str, str], str]] = {
    ("ListFiles", "OPENSEARCH_TIMEOUT_SECONDS"): "it writes thousands of work items at once",
    ("MethodNotAllowed", "OPENSEARCH_URL"): "it is made before there is a domain",
}
#: How the names of properties end that tell people something, and change nothing.
_TELLING: Final = ("Description", "Metadata", "Tags")


def parameters_without_effect(templates: Templates) -> list[str]:
    """Each parameter changes something that runs, through conditions and nested stacks too."""
    found = []
    for name, read in templates.items():
        running = _running({id: each for id, each in read["Resources"].items() if id != "Configuration"})
        values = [running, read.get("Globals", {}), read.get("Outputs", {}) if name else {}]
        conditions = read.get("Conditions", {})
        used = {condition for condition in conditions if f'"{condition}"' in json.dumps(values)}
        while more := {id for id in conditions for other in used if f'"{id}"' in json.dumps(conditions[other])} - used:
            used |= more
        referred = set(references([*values, *(conditions[condition] for condition in used)]))
        found += [f"{id} changes nothing" for id in read.get("Parameters", {}) if id not in referred]
    return found


def aliases_that_stay(templates: Templates) -> list[str]:
    """A parameter's new value reaches the function that an alias names: a version's description is replaced with it.

    AWS::Lambda::Version has Description among its create-only properties (its resource schema), and Lambda publishes no
    version of a function that has not changed, so the function itself carries the same number. Each value is counted as
    it is: of a choice that looks at it, not every change would be one.
    """
    root = templates[""]
    user_data = root["Resources"]["Configuration"]["Properties"]["LaunchTemplateData"]["UserData"]
    counted = user_data["Fn::Base64"]["Fn::Join"][1]
    found = [f"{id} is not counted" for id, each in root["Parameters"].items() if _value(id, each) not in counted]
    if not PUBLISHED.items() <= root["Globals"]["Function"].items():
        found.append(f"the functions are not published by {PUBLISHED}")
    for id, own, variables in functions(templates):
        if own.keys() & PUBLISHED.keys():
            found.append(f"{id} is published in a way of its own")
        if variables.get("CONFIGURATION_VERSION") != NUMBER:
            found.append(f"{id} does not carry the number")
        if own.get("VersionDescription") != NUMBER:
            found.append(f"{id}'s versions do not carry the number")
    return found


def variables_that_differ(templates: Templates) -> list[str]:
    """What two functions are told under one name is the same, or one of them goes by what the others do not."""
    told: dict[str, set[str]] = {}
    for id, _, variables in functions(templates):
        for name, value in variables.items():
            if (id, name) not in DIFFERING:
                told.setdefault(name, set()).add(json.dumps(value))
    return [f"{name} is one of {sorted(values)}" for name, values in told.items() if len(values) > 1]


def _running(value: Any) -> Any:
    """Leave out what only tells people something."""
    if isinstance(value, Mapping):
        return {name: _running(part) for name, part in value.items() if not name.endswith(_TELLING)}
    return [_running(part) for part in value] if isinstance(value, list) else value


def _value(parameter: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    """Give a parameter's value as one text."""
    value: dict[str, Any] = {"Ref": parameter}
    return {"Fn::Join": [",", value]} if "List" in declared["Type"] else value
