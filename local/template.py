"""What template.yaml says of the functions, their routes and rules, and of the state machines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from local import cloudformation
from local.batch_capacity import Capacity

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
    """One Lambda function: its logical id, `module.name` of its handler, its role, and the environment it is given."""

    id: str
    handler: str
    role: str  # the logical id
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
    """One state machine: its logical id and name, and its definition with everything put in that it is to be given."""

    id: str
    name: str
    definition: str


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """What API Gateway answers by itself for one of its types; `status` is None where it has several."""

    status: int | None
    headers: Mapping[str, str]
    body: str  # with variables in it, such as $context.extendedRequestId


def document(path: Path | None = None) -> dict[str, Any]:
    """Read a whole template (None: the product's), intrinsic functions in their long form."""
    return cloudformation.read(path or TEMPLATE)


@cache
def stack(path: Path | None = None) -> cloudformation.Stack:
    """Give the stack that a template (None: the product's) makes with its parameters at their defaults."""
    return cloudformation.Stack(path or TEMPLATE)


@cache
def functions(path: Path | None = None) -> dict[str, Function]:
    """Read the functions of a template (None: the product's) by their logical id."""
    made = stack(path)
    defaults = made.document["Globals"]["Function"]
    return {
        id: _function(id, defaults, properties, made) for id, properties in made.resources("AWS::Serverless::Function")
    }


@cache
def handlers() -> dict[str, Function]:
    """Read the functions of the product's template by `module.name` of their handlers."""
    return {function.handler: function for function in functions().values()}


def variable(id: str, name: str) -> str:
    """Give the local value of a variable that the product's template sets for a function alone."""
    return str(stack().resolve(document()["Resources"][id]["Properties"]["Environment"]["Variables"][name]))


@cache
def role_arns() -> dict[str, str]:
    """Give the ARNs of all roles that the product's template makes, nested ones too, by their logical ids."""
    return {
        id: each.resolve({"Fn::GetAtt": [id, "Arn"]})
        for each in stack().every()
        for id, _ in each.resources("AWS::IAM::Role")
    }


@cache
def state_machines(path: Path | None = None) -> dict[str, StateMachine]:
    """Read the state machines by their logical id; raise LookupError for a substitution that has no local value."""
    made = stack(path)
    machines = {}
    for id, properties in made.resources("AWS::Serverless::StateMachine"):
        definition = ((path or TEMPLATE).parent / properties["DefinitionUri"]).read_text()
        for name, value in properties.get("DefinitionSubstitutions", {}).items():
            definition = definition.replace(f"${{{name}}}", str(made.resolve(value)))
        machines[id] = StateMachine(id, made.resolve({"Fn::GetAtt": [id, "Name"]}), definition)
    return machines


@cache
def gateway_responses() -> dict[str, GatewayResponse]:
    """Read what the API of the product's template answers by itself, by API Gateway's name for the type."""
    declared = document()["Resources"]["Api"]["Properties"]["GatewayResponses"]
    return {
        kind: GatewayResponse(
            int(response["StatusCode"]) if "StatusCode" in response else None,
            {name: value.strip("'") for name, value in response["ResponseParameters"]["Headers"].items()},
            response["ResponseTemplates"]["application/json"],
        )
        for kind, response in declared.items()
    }


def job_capacity() -> Capacity:
    """Give what the compute environment of the product's template holds with default parameters."""
    return Capacity(max_vcpus=document()["Parameters"]["JobMaxVcpus"]["Default"])


def job_time_limits() -> dict[str, int]:
    """Give after how many seconds the product's job queue cancels a job that is stuck, by the reason that Batch has."""
    queue = document()["Resources"]["JobQueue"]["Properties"]
    return {action["Reason"]: action["MaxTimeSeconds"] for action in queue.get("JobStateTimeLimitActions", [])}


def _function(id: str, defaults: dict[str, Any], properties: dict[str, Any], made: cloudformation.Stack) -> Function:
    declared = list(properties.get("Events", {}).values())
    events = [event["Properties"] for event in declared if event["Type"] == "Api"]
    variables = [level.get("Environment", {}).get("Variables", {}) for level in (defaults, properties)]
    rules = [event["Properties"]["Pattern"] for event in declared if event["Type"] == "EventBridgeRule"]
    return Function(
        id=id,
        handler=properties["Handler"],
        role=_role(id, properties.get("Role")),
        timeout_seconds=properties.get("Timeout", defaults["Timeout"]),
        environment=frozenset().union(*variables),
        routes=[Route(event["Method"].upper(), event["Path"], id) for event in events],
        triggers=frozenset(event["Type"] for event in declared) - {"Api"},
        patterns=[made.resolve(rule) for rule in rules],
    )


def _role(id: str, value: Any) -> str:
    match value:
        case {"Fn::GetAtt": [str(role), "Arn"]}:
            return role
    return f"{id}Role"  # one that lies in another stack


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
