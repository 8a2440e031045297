"""What template.yaml says of the functions, their routes and rules, and of the state machines."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from local import arns

ROOT: Final = Path(__file__).resolve().parent.parent
TEMPLATE: Final = ROOT / "template.yaml"


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path of the API, and the function that answers; method ANY yields to the others."""

    method: str
    path: str
    function: str


@dataclass(frozen=True, slots=True)
class Function:
    """One Lambda function: its logical id, `module.name` of its handler, and the environment it is given."""

    id: str
    handler: str
    timeout_seconds: int
    environment: frozenset[str]
    routes: Sequence[Route]
    triggers: frozenset[str]  # the types of its other events: Schedule, EventBridgeRule
    patterns: Sequence[Mapping[str, Any]] = field(default=())  # of its EventBridgeRules

    def listens_to(self, event: Mapping[str, Any]) -> bool:
        """Tell whether one of its rules matches an event."""
        return any(_matches(pattern, event) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class StateMachine:
    """One state machine: its logical id, and its definition with everything put in that it is to be given."""

    id: str
    definition: str


class _Loader(yaml.SafeLoader):
    """Reads short forms as the long ones: `!Ref X` as `{"Ref": "X"}`, `!Sub X` as `{"Fn::Sub": "X"}`."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.ScalarNode)
        value = loader.construct_scalar(node)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


@cache
def document(path: Path | None = None) -> dict[str, Any]:
    """Read a whole template (None: the product's), intrinsic functions in their long form."""
    read: dict[str, Any] = yaml.load((path or TEMPLATE).read_text(), _Loader)  # noqa: S506 - a SafeLoader
    return read


@cache
def functions(path: Path | None = None) -> dict[str, Function]:
    """Read the functions of a template (None: the product's) by their logical id."""
    read = document(path)
    defaults = read["Globals"]["Function"]
    return {
        id: _function(id, defaults, resource["Properties"], read)
        for id, resource in read["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


@cache
def timeouts() -> dict[str, int]:
    """Give the seconds that each function of the product's template has, by `module.name` of its handler."""
    return {function.handler: function.timeout_seconds for function in functions().values()}


@cache
def state_machines(path: Path | None = None) -> dict[str, StateMachine]:
    """Read the state machines by their logical id; raise LookupError for a substitution that has no local value."""
    read = document(path)
    machines = {}
    for id, resource in read["Resources"].items():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            properties = resource["Properties"]
            definition = ((path or TEMPLATE).parent / properties["DefinitionUri"]).read_text()
            for name, value in properties.get("DefinitionSubstitutions", {}).items():
                definition = definition.replace(f"${{{name}}}", str(_local(value, read)))
            machines[id] = StateMachine(id, definition)
    return machines


def _function(id: str, defaults: dict[str, Any], properties: dict[str, Any], document: Mapping[str, Any]) -> Function:
    declared = list(properties.get("Events", {}).values())
    events = [event["Properties"] for event in declared if event["Type"] == "Api"]
    variables = [level.get("Environment", {}).get("Variables", {}) for level in (defaults, properties)]
    rules = [event["Properties"]["Pattern"] for event in declared if event["Type"] == "EventBridgeRule"]
    return Function(
        id=id,
        handler=properties["Handler"],
        timeout_seconds=properties.get("Timeout", defaults["Timeout"]),
        environment=frozenset().union(*variables),
        routes=[Route(event["Method"].upper(), event["Path"], id) for event in events],
        triggers=frozenset(event["Type"] for event in declared) - {"Api"},
        patterns=[_local(rule, document) for rule in rules],
    )


def _local(value: Any, document: Mapping[str, Any]) -> Any:
    """Put local values in place of what a template refers to: functions, roles, state machines, the job queue."""
    if isinstance(value, list):
        return [_local(part, document) for part in value]
    match value:
        case {"Ref": str(name)}:
            return _referred(name, document)
        case {"Fn::GetAtt": [id, attribute]}:
            return _referred(f"{id}.{attribute}", document)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: str(_referred(found[1], document)), text)
        case Mapping():
            return {name: _local(part, document) for name, part in value.items()}
    return value


def _referred(name: str, document: Mapping[str, Any]) -> Any:
    pseudo = {
        "Region": arns.REGION,
        "AccountId": arns.ACCOUNT,
        "Partition": "aws",
        "StackName": "byob",
        "StackId": "byob",
    }
    if name.startswith("AWS::"):
        return pseudo[name.removeprefix("AWS::")]
    if "Default" in document.get("Parameters", {}).get(name, {}):
        return document["Parameters"][name]["Default"]
    id, _, attribute = name.partition(".")
    kind = document["Resources"].get(id, {}).get("Type", "nothing")
    known = {
        ("AWS::Serverless::Function", "Arn"): arns.function(id),
        ("AWS::Serverless::Function", ""): id,
        ("AWS::Serverless::Function", "Alias"): arns.function(id),
        ("AWS::Serverless::StateMachine", "Arn"): arns.state_machine(id),
        ("AWS::Serverless::StateMachine", ""): arns.state_machine(id),
        ("AWS::Serverless::StateMachine", "Name"): id,
        ("AWS::IAM::Role", "Arn"): arns.role(id),
        ("AWS::Batch::JobQueue", "JobQueueArn"): arns.JOB_QUEUE_ARN,
        ("AWS::Batch::JobQueue", ""): arns.JOB_QUEUE_ARN,
        ("AWS::Logs::LogGroup", ""): arns.JOB_LOG_GROUP,
    }
    if (kind, attribute) not in known:
        raise LookupError(f"local mode has no value for {name} ({kind}); local/template.py lists those that it has")
    return known[kind, attribute]


def _matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Match an event as EventBridge does: equal values and prefixes, at any depth."""
    for name, wanted in pattern.items():
        value = event.get(name)
        if isinstance(wanted, Mapping):
            if not isinstance(value, Mapping) or not _matches(wanted, value):
                return False
        elif not any(_is(one, choice) for one in (value if isinstance(value, list) else [value]) for choice in wanted):
            return False
    return True


def _is(value: Any, choice: Any) -> bool:
    if isinstance(choice, Mapping):
        if set(choice) != {"prefix"}:
            raise LookupError(f"local mode knows no event pattern {dict(choice)}")
        return isinstance(value, str) and value.startswith(choice["prefix"])
    return bool(value == choice)
