"""What CloudFormation makes of a template, in local mode's account and region and with local mode's names.

Sources: CloudFormation template reference, "Intrinsic functions" and "Pseudo parameters reference"; for what Ref and
GetAtt give, each resource type's own page, "Return values".
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from ipaddress import ip_network
from itertools import islice
from pathlib import Path
from typing import Any, Final

import yaml

from local import arns

_PSEUDO: Final[Mapping[str, Any]] = {
    "AWS::AccountId": arns.ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": arns.REGION,
    "AWS::StackId": arns.STACK_ID,
    "AWS::URLSuffix": "amazonaws.com",
}
#: What stands for AWS::NoValue until it is left out.
_NOTHING: Final = object()
#: The properties by which a template may name a resource itself.
_NAMES: Final = ("DomainName", "FunctionName", "LogGroupName", "Name", "QueueName", "RoleName")
_EC2: Final = frozenset({"VPC", "Subnet", "SecurityGroup", "RouteTable", "LaunchTemplate"})


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
def read(path: Path) -> dict[str, Any]:
    """Read a whole template, intrinsic functions in their long form."""
    document: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    return document


class Stack:
    """A stack, as its template and parameters make it; what local mode has no value for is a LookupError.

    `parameters` stand in for the defaults. `document` stands in for what is in the file, whose folder nested templates
    are found from. `exports` are what other stacks have exported, by name.
    """

    def __init__(
        self,
        path: Path,
        parameters: Mapping[str, Any] | None = None,
        *,
        name: str = arns.STACK,
        document: Mapping[str, Any] | None = None,
        exports: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.document = document or read(path)
        self._folder = path.parent
        self._given = parameters or {}
        self._exports = exports or {}

    def resources(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give the logical ids and the properties, as they stand, of all resources of a type that are made."""
        for id, resource in self.document["Resources"].items():
            if resource["Type"] == kind and self._is_made(resource):
                yield id, resource.get("Properties", {})

    @cached_property
    def nested(self) -> dict[str, "Stack"]:
        """Give the stacks that this one makes, by logical id."""
        return {
            id: Stack(
                self._folder / properties["TemplateURL"],
                _Lazy(self, properties.get("Parameters", {})),
                name=arns.named(id, self.name),
                exports=self._exports,
            )
            for id, properties in self.resources("AWS::CloudFormation::Stack")
        }

    def every(self) -> Iterator["Stack"]:
        """Give this stack and all that are nested in it."""
        yield self
        for stack in self.nested.values():
            yield from stack.every()

    def output(self, name: str) -> Any:
        """Give the value of an output."""
        return self.resolve(self.document["Outputs"][name]["Value"])

    def resolve(self, value: Any) -> Any:
        """Put in what intrinsic functions come to, at any depth; what comes to AWS::NoValue is left out."""
        if isinstance(value, list):
            return [part for part in map(self.resolve, value) if part is not _NOTHING]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref":
                return self._ref(argument)
            if function.startswith("Fn::"):
                return self._called(function, argument)
        parts = {name: self.resolve(part) for name, part in value.items()}
        return {name: part for name, part in parts.items() if part is not _NOTHING}

    def _called(self, function: str, argument: Any) -> Any:
        if function == "Fn::If":
            condition, holds, otherwise = argument
            return self.resolve(holds if self._holds({"Condition": condition}) else otherwise)
        if function == "Fn::Sub":
            text, names = (argument, {}) if isinstance(argument, str) else argument
            return self._substituted(text, {name: self.resolve(part) for name, part in names.items()})
        given = self.resolve(argument)
        if function == "Fn::GetAtt":
            return self._attribute(*given)
        if function == "Fn::FindInMap":
            name, first, second = given
            return self.document["Mappings"][name][first][second]
        if function == "Fn::ImportValue":
            return self._exports[given]
        if function not in _PURE:
            raise LookupError(f"local mode knows no {function}")
        return _PURE[function](given)

    def _substituted(self, text: str, names: Mapping[str, Any]) -> str:
        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in names:
                return str(names[name])
            id, _, attribute = name.partition(".")
            return str(self._attribute(id, attribute) if attribute else self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name == "AWS::StackName":
            return self.name
        if name in _PSEUDO:
            return _PSEUDO[name]
        parameter = self.document.get("Parameters", {}).get(name)
        if parameter is None:
            id, _, attribute = name.partition(".")  # SAM's own `!Ref Function.Alias`
            return self._attribute(id, attribute)
        if name not in self._given and "Default" not in parameter:
            raise LookupError(f"parameter {name} has no default, and was not given")
        value = self._given.get(name, parameter.get("Default"))
        is_list = parameter["Type"] == "CommaDelimitedList" or parameter["Type"].startswith("List<")
        return value.split(",") if is_list and isinstance(value, str) else value

    def _attribute(self, id: str, attribute: str) -> Any:
        """Give what Ref (attribute "") or GetAtt of a resource gives."""
        resource = self.document["Resources"].get(id, {"Type": "nothing"})
        kind = resource["Type"]
        if kind == "AWS::CloudFormation::Stack":
            return self.nested[id].output(attribute.removeprefix("Outputs."))
        given = next((name for name in _NAMES if name in resource.get("Properties", {})), None)
        name = self.resolve(resource["Properties"][given]) if given else arns.named(id, self.name)
        known = _values(name).get((kind, attribute))
        if known is None and not attribute and kind.startswith("AWS::EC2::") and kind[10:] in _EC2:
            known = name
        if known is None:
            raise LookupError(f"local mode has no value for {id}.{attribute} ({kind}); _values lists those that it has")
        return known

    def _is_made(self, resource: Mapping[str, Any]) -> bool:
        return "Condition" not in resource or self._holds({"Condition": resource["Condition"]})

    def _holds(self, condition: Any) -> bool:
        match condition:
            case {"Condition": str(name)}:
                return self._holds(self.document["Conditions"][name])
            case {"Fn::Equals": [first, second]}:
                return str(self.resolve(first)) == str(self.resolve(second))
            case {"Fn::Not": [one]}:
                return not self._holds(one)
            case {"Fn::And": every}:
                return all(map(self._holds, every))
            case {"Fn::Or": some}:
                return any(map(self._holds, some))
        raise LookupError(f"local mode knows no condition {condition}")


def _blocks(given: list[Any]) -> list[str]:
    """Give the first blocks of an address range that leave so many bits to hosts (Fn::Cidr)."""
    range_, count, bits = given
    return [str(block) for block in islice(ip_network(range_).subnets(new_prefix=32 - int(bits)), int(count))]


#: The functions whose value is made of nothing but what they are given.
_PURE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Fn::Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Fn::Cidr": _blocks,
    "Fn::GetAZs": lambda _: [f"{arns.REGION}{letter}" for letter in "abc"],
    "Fn::Join": lambda given: given[0].join(map(str, given[1])),
    "Fn::Select": lambda given: given[1][int(given[0])],
    "Fn::Split": lambda given: given[1].split(given[0]),
}


class _Lazy(Mapping[str, Any]):
    """Values that are resolved when they are asked for: not all that a nested stack is given has a value here."""

    def __init__(self, stack: Stack, values: Mapping[str, Any]) -> None:
        self._stack = stack
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._stack.resolve(self._values[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _values(name: str) -> dict[tuple[str, str], str]:
    """Give what Ref ("") and GetAtt give of a resource with this name, by its type."""
    here = f"{arns.REGION}:{arns.ACCOUNT}"
    return {
        ("AWS::Batch::JobQueue", ""): arns.JOB_QUEUE_ARN,
        ("AWS::Batch::JobQueue", "JobQueueArn"): arns.JOB_QUEUE_ARN,
        ("AWS::IAM::ManagedPolicy", ""): f"arn:aws:iam::{arns.ACCOUNT}:policy/{name}",
        ("AWS::IAM::Role", ""): name,
        ("AWS::IAM::Role", "Arn"): arns.role(name),
        ("AWS::KMS::Key", ""): name,
        ("AWS::KMS::Key", "Arn"): f"arn:aws:kms:{here}:key/{name}",
        ("AWS::Logs::LogGroup", ""): name,
        ("AWS::Logs::LogGroup", "Arn"): f"arn:aws:logs:{here}:log-group:{name}:*",
        ("AWS::OpenSearchService::Domain", ""): name,
        ("AWS::OpenSearchService::Domain", "Arn"): f"arn:aws:es:{here}:domain/{name}",
        ("AWS::OpenSearchService::Domain", "DomainEndpoint"): f"vpc-{name}.{arns.REGION}.es.amazonaws.com",
        ("AWS::SNS::Topic", ""): f"arn:aws:sns:{here}:{name}",
        ("AWS::SQS::Queue", "Arn"): f"arn:aws:sqs:{here}:{name}",
        ("AWS::SQS::Queue", "QueueName"): name,
        ("AWS::Serverless::Function", ""): name,
        ("AWS::Serverless::Function", "Alias"): arns.alias(name),
        ("AWS::Serverless::Function", "Arn"): arns.function(name),
        ("AWS::Serverless::StateMachine", ""): arns.state_machine(name),
        ("AWS::Serverless::StateMachine", "Arn"): arns.state_machine(name),
        ("AWS::Serverless::StateMachine", "Name"): name,
    }
