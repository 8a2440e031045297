"""What template.yaml says of the functions and their routes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

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


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (!Ref, !Sub, …) as the plain values behind them."""


def _short_form(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor("!", _short_form)


@cache
def functions(template: Path = TEMPLATE) -> dict[str, Function]:
    """Read the functions by their logical id."""
    document = yaml.load(template.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    defaults = document["Globals"]["Function"]
    return {
        id: _function(id, defaults, resource["Properties"])
        for id, resource in document["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def _function(id: str, defaults: dict[str, Any], properties: dict[str, Any]) -> Function:
    declared = list(properties.get("Events", {}).values())
    events = [event["Properties"] for event in declared if event["Type"] == "Api"]
    variables = [level.get("Environment", {}).get("Variables", {}) for level in (defaults, properties)]
    return Function(
        id=id,
        handler=properties["Handler"],
        timeout_seconds=properties.get("Timeout", defaults["Timeout"]),
        environment=frozenset().union(*variables),
        routes=[Route(event["Method"].upper(), event["Path"], id) for event in events],
        triggers=frozenset(event["Type"] for event in declared) - {"Api"},
    )
