"""What a request to AWS, or to the domain, asks IAM for: actions on resources, and what conditions look at.

Which resources an action is about, AWS's own list tells (service authorization reference, as iam-data has it); what is
not understood is an UnknownRequestError, and never taken for allowed.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import botocore.session

from local import arns
from local.template import ROOT
from tests.reach import ACTIONS, IMPLIED

EVALUATOR: Final = ROOT / ".tools" / "iam"
#: Where a list of AWS's calls a parameter otherwise than the API does.
_PARAMETERS: Final = {"bucketname": "bucket", "objectname": "key", "rolenamewithpath": "rolename"}
#: Resources of an action that no request can name: what is yet to be made, and executions of another kind.
_UNNAMED: Final = {("batch:SubmitJob", "job"), ("states:DescribeExecution", "express")}
#: Who gets the role that a call hands over (IAM user guide, "iam:PassedToService").
_PASSED_TO: Final = {"sagemaker": "sagemaker.amazonaws.com", "batch": "ecs-tasks.amazonaws.com"}
_ROLE_ARN: Final = re.compile(r"arn:[\w-]+:iam::\d+:role/.+")
#: Stacks of tests keep apart on one node by prefixes of their own; in an account a stack has a domain and one prefix.
#: That a function keeps to the prefix of its own stack, the node's own roles see to.
_PREFIX: Final = re.compile(r"/[a-z0-9][\w-]*?-(?=(?:bots|endpoints|items|jobs|self-test|things|aging)\b|%2A|\*)")


class UnknownRequestError(Exception):
    """Raised for a request of which it is not known what IAM would be asked."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to IAM: may this role (its logical id) do this, by what it calls the service with."""

    role: str
    service: str  # boto3's name of what was called
    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        said = "".join(f", {key} {value}" for key, value in self.context)
        return f"{self.role} {self.action} on {self.resource}{said}"


@dataclass(frozen=True, slots=True)
class Call:
    """An operation of a service's API with its parameters."""

    service: str
    operation: str
    parameters: Mapping[str, Any]


def of_domain(role: str, method: str, target: str) -> Asked:
    """Tell what a request to the domain asks for; its path is a part of the resource."""
    path = _PREFIX.sub(f"/{arns.STACK}-", target.partition("?")[0], count=1).replace("*", "%2A")
    action = f"es:ESHttp{method.title()}"
    return Asked(role, "es", action, f"arn:aws:es:{arns.REGION}:{arns.ACCOUNT}:domain/{arns.STACK}{path}")


def of_call(role: str, call: Call, tags_of: Callable[[str], Mapping[str, str]]) -> Iterator[Asked]:
    """Tell what a call asks for: its own action on each of its resources, and what the call implies.

    `tags_of` gives the tags of a resource as they are before the call.
    """
    prefix = "sagemaker" if call.service == "sagemaker-runtime" else call.service
    named = f"{prefix}:{call.operation}"
    action = ACTIONS.get(named, named)
    resources = list(_resources(action, call.parameters))
    for resource in resources:
        tags = {f"aws:ResourceTag/{name}": value for name, value in tags_of(resource).items()}
        yield Asked(role, call.service, action, resource, tuple(sorted(tags.items())))
    for implied in IMPLIED.get(named, ()):
        if implied == "iam:PassRole":
            passed = (("iam:PassedToService", _PASSED_TO[prefix]),)
            yield from (Asked(role, "", implied, arn, passed) for arn in _roles_in(call.parameters))
        elif "Tags" in call.parameters:
            yield Asked(role, call.service, implied, resources[0])  # the first is what is made


def read(service: str, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
    """Read a call from a request; `service` as it was signed for, header names in lower case."""
    path, _, query = target.partition("?")
    if operation := headers.get("x-amz-target", "").partition(".")[2]:
        return Call(service, operation, json.loads(body or b"{}"))
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        return Call(service, form["Action"], form)
    service = "sagemaker-runtime" if service == "sagemaker" else service
    sent = set(parse_qs(query, keep_blank_values=True)) | headers.keys()
    matching = [
        (len(route.asks), route, found)
        for route in _routes(service)
        if route.method == method and (found := route.path.fullmatch(path)) and route.asks <= sent
    ]
    if not matching:
        raise UnknownRequestError(f"{service} has no operation {method} {target}")
    _, route, found = max(matching, key=lambda one: one[0])
    parameters = {name: unquote(value) for name, value in zip(route.labels, found.groups(), strict=True)}
    if route.has_json:
        parameters |= json.loads(body or b"{}")
    return Call(service, route.operation, parameters)


@dataclass(frozen=True, slots=True)
class _Route:
    """Where an operation of a REST protocol is found: `asks` are the names in query and headers that tell it apart."""

    operation: str
    method: str
    path: re.Pattern[str]
    labels: tuple[str, ...]
    asks: frozenset[str]
    has_json: bool


@cache
def _routes(service: str) -> tuple[_Route, ...]:
    model = botocore.session.Session().get_service_model(service)
    if not model.protocol.startswith("rest-"):
        raise UnknownRequestError(f"{service} is not called by paths, and the request names no operation")
    return tuple(_route(model.operation_model(name)) for name in model.operation_names)


def _route(operation: Any) -> _Route:
    path, _, query = operation.http["requestUri"].partition("?")
    pattern = re.sub(r"\\\{[^}]*?(\\\+)?\\\}", lambda found: "(.+)" if found[1] else "([^/]+)", re.escape(path))
    shape = operation.input_shape
    places = [shape.members[name].serialization for name in shape.required_members] if shape else []
    asked = {place["name"] for place in places if place.get("location") in ("querystring", "header")}
    return _Route(
        operation.name,
        operation.http["method"],
        re.compile(pattern),
        tuple(re.findall(r"\{([^}+]+)\+?\}", path)),
        frozenset(
            name.lower() if name.lower().startswith("x-amz-") else name
            for name in asked | {*parse_qs(query, keep_blank_values=True)}
        ),
        bool(operation.service_model.protocol == "rest-json" and shape and "payload" not in shape.serialization),
    )


def _resources(action: str, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Give the ARNs of what an action would be done to, in the order of AWS's list; "*" where it has none."""
    service, _, name = action.partition(":")
    listed = _data("actions", service).get(name.lower())
    if listed is None:
        raise UnknownRequestError(f"IAM has no action {action}")
    types = listed["resourceTypes"]
    found = 0
    for kind in types:
        arn = _resource(_data("resourceTypes", service)[kind["name"].lower()]["arn"], parameters)
        if arn:
            found += 1
            yield arn
        elif kind["required"] and (action, kind["name"]) not in _UNNAMED:
            raise UnknownRequestError(f"{action}: the {kind['name']} is not among {sorted(parameters)}")
    if not types:
        yield "*"
    elif not found:
        raise UnknownRequestError(f"{action}: no resource is among {sorted(parameters)}")


def _resource(pattern: str, parameters: Mapping[str, Any]) -> str | None:
    """Find a resource of this kind: a parameter that is its ARN, or those that its ARN is made of."""
    strings = {name.lower(): value for name, value in parameters.items() if isinstance(value, str)}
    for value in strings.values():
        if value.startswith("arn:") and _matcher(pattern).fullmatch(value):
            return value
    account = strings.get("registryid", arns.ACCOUNT)
    values = {"partition": "aws", "region": arns.REGION, "account": account}
    made = pattern
    for name in re.findall(r"\$\{(\w+)\}", pattern):
        low = name.lower()
        part = values.get(low) or strings.get(_PARAMETERS.get(low, low))
        if part is None:
            return None
        made = made.replace(f"${{{name}}}", part)
    return made


@cache
def _matcher(pattern: str) -> re.Pattern[str]:
    *parts, last = re.split(r"\$\{\w+\}", pattern)
    return re.compile("[^:/]*".join(map(re.escape, parts)) + ".+" + re.escape(last))


@cache
def _data(kind: str, service: str) -> Any:
    path = EVALUATOR / "node_modules" / "@cloud-copilot" / "iam-data" / "data" / kind / f"{service}.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UnknownRequestError(f"{path} is missing; `make .tools/iam/node_modules` brings what is known") from error


def _roles_in(value: Any) -> Iterator[str]:
    """Give the ARNs of roles at any depth."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _roles_in(part)
    elif isinstance(value, str) and _ROLE_ARN.fullmatch(value):
        yield value
