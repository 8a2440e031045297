"""What a handler can reach: the functions that it may call, found in the source, and what those ask of AWS.

A call graph by types as far as the annotations tell them: of a receiver whose class is known only that class's method
is reached, of an unknown one every method of that name. So it may find too much, never too little.
"""

import ast
import builtins
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import botocore.session
from botocore import xform_name

from local.template import ROOT

SOURCE: Final = ROOT / "src"

#: The IAM action where it is not named like the API's operation (service authorization reference).
ACTIONS: Final = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
}
#: What an operation needs beside its own action: for the tags and the role that it is called with.
IMPLIED: Final = {
    "batch:RegisterJobDefinition": {"iam:PassRole"},
    "sagemaker:CreateModel": {"sagemaker:AddTags", "iam:PassRole"},
    "sagemaker:CreateEndpointConfig": {"sagemaker:AddTags"},
    "sagemaker:CreateEndpoint": {"sagemaker:AddTags"},
}
_PREFIXES: Final = {"stepfunctions": "states"}
#: The HTTP method behind each call of opensearch-py that the product makes; a test holds them to what is sent.
OPENSEARCH_CALLS: Final = {
    "get": "Get",
    "mget": "Post",
    "search": "Post",
    "index": "Put",
    "count": "Post",
    "delete": "Delete",
    "indices.create": "Put",
    "indices.put_alias": "Put",
    "indices.put_mapping": "Put",
    "indices.refresh": "Post",
    "indices.get_alias": "Get",
    "indices.recovery": "Get",
    "indices.update_aliases": "Post",
    "snapshot.get": "Get",
    "snapshot.restore": "Post",
    "info": "Get",
    "transport.perform_request PUT": "Put",
}

_UNKNOWN: Final = None  # the class of something whose annotation tells nothing
_FOREIGN: Final = "?"  # a class that is not ours


@dataclass(frozen=True)
class _Module:
    name: str
    tree: ast.Module
    imports: Mapping[str, str]  # local name -> dotted name of what it stands for
    definitions: Mapping[str, ast.AST] = field(default_factory=dict)


@dataclass(frozen=True)
class Reached:
    """What one handler may do."""

    actions: frozenset[str]  # IAM actions
    services: frozenset[str]  # AWS services by boto3's names
    variables: frozenset[str]  # environment variables


@cache
def reached_by(handler: str) -> Reached:
    """Find what `handlers.<handler>` may ask of AWS, of OpenSearch and of its environment."""
    code = _code()
    seen: set[str] = set()
    todo = [f"handlers.{handler}.handler"]
    while todo:
        name = todo.pop()
        if name not in seen and name in code.functions:
            seen.add(name)
            todo.extend(code.callees(name))
    calls = {call for name in seen for call in code.aws_calls(name)}
    actions = {ACTIONS.get(call, call) for call in calls}
    implied = {extra for call in calls for extra in IMPLIED.get(call, ())}
    verbs = {f"es:ESHttp{verb}" for name in seen for verb in code.opensearch_verbs(name)}
    return Reached(
        actions=frozenset(actions | implied | verbs),
        services=frozenset(call.partition(":")[0] for call in calls),
        variables=frozenset(name for function in seen for name in code.variables(function)),
    )


def calls_in_source() -> set[str]:
    """Give `service:Operation`, by botocore's name of the service, for every call that is found."""
    code = _code()
    services = {prefix: service for service, prefix in _PREFIXES.items()}
    found = {tuple(call.split(":")) for name in code.functions for call in code.aws_calls(name)}
    return {f"{services.get(service, service)}:{operation}" for service, operation in found}


class _Code:
    def __init__(self) -> None:
        self.modules = {module.name: module for module in map(_parsed, sorted(SOURCE.rglob("*.py")))}
        self.functions: dict[str, ast.FunctionDef] = {}
        self.classes: dict[str, ast.ClassDef] = {}
        for module in self.modules.values():
            for node in module.tree.body:
                if isinstance(node, ast.FunctionDef):
                    self.functions[f"{module.name}.{node.name}"] = node
                elif isinstance(node, ast.ClassDef):
                    self.classes[f"{module.name}.{node.name}"] = node
                    for method in node.body:
                        if isinstance(method, ast.FunctionDef):
                            self.functions[f"{module.name}.{node.name}.{method.name}"] = method
        self.constants = {
            name
            for node in ast.walk(self.modules["shared.settings"].tree)
            if isinstance(node, ast.Constant) and isinstance(name := node.value, str) and name.isupper()
        }
        self.session = botocore.session.Session()

    def callees(self, name: str) -> Iterator[str]:
        """Give the functions that a function names, and the methods that it may mean."""
        module, owner = self._place(name)
        types = self._types(name)
        calls = {node.func: node for node in ast.walk(self.functions[name]) if isinstance(node, ast.Call)}
        for node in ast.walk(self.functions[name]):
            if isinstance(node, ast.Name) and node.id not in types:
                yield from self._meant(self._resolved(module, node.id))
            elif isinstance(node, ast.Attribute):
                target = self._dotted(module, node)
                if target:
                    yield from self._meant(target)
                    continue
                receiver = self._type(module, owner, types, node.value)
                call = calls.get(node)
                for method in self._methods(receiver, node.attr):
                    if receiver is not _UNKNOWN or call is None or _may_take(self.functions[method], call):
                        yield method

    def aws_calls(self, name: str) -> set[str]:
        """Give `service:Operation` for each operation that a function names, of the services of its module."""
        module, _ = self._place(name)
        said = self._said(name)
        return {
            f"{_PREFIXES.get(service, service)}:{operation}"
            for service in _services(module)
            for operation in self._operations(service)
            if xform_name(operation) in said
        }

    def opensearch_verbs(self, name: str) -> set[str]:
        """Give the HTTP methods of the calls that a function makes through opensearch-py."""
        verbs = set()
        for node in ast.walk(self.functions[name]):
            if isinstance(node, ast.Call) and (text := ast.unparse(node)).startswith("client()."):
                method = text.removeprefix("client().").partition("(")[0]
                argument = node.args[0] if node.args else None
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    method += f" {argument.value}"
                verbs.add(OPENSEARCH_CALLS[method])
            elif isinstance(node, ast.Name) and node.id == "streaming_bulk":
                verbs.add("Post")
        return verbs

    def variables(self, name: str) -> set[str]:
        """Give the environment variables that a function names."""
        return self._said(name) & self.constants

    def _said(self, name: str) -> set[str]:
        """Give every attribute and string in a function's body."""
        nodes = list(_without_comparisons(self.functions[name]))
        strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        return strings | {node.attr for node in nodes if isinstance(node, ast.Attribute)}

    @cache  # noqa: B019 - one object a process
    def _operations(self, service: str) -> tuple[str, ...]:
        return tuple(self.session.get_service_model(service).operation_names)

    def _place(self, name: str) -> tuple[_Module, str | None]:
        """Give the module of a function, and its class where it is a method."""
        parent = name.rpartition(".")[0]
        if parent in self.classes:
            return self.modules[parent.rpartition(".")[0]], parent
        return self.modules[parent], None

    def _resolved(self, module: _Module, name: str) -> str:
        return module.imports.get(name, f"{module.name}.{name}")

    def _dotted(self, module: _Module, node: ast.Attribute) -> str | None:
        """Give the full name of `module.attribute`, None for an attribute of anything else."""
        if not isinstance(node.value, ast.Name):
            return None
        imported = module.imports.get(node.value.id)
        return f"{imported}.{node.attr}" if imported in self.modules else None

    def _meant(self, target: str) -> Iterator[str]:
        if target in self.functions:
            yield target
        elif target in self.classes:
            yield from (f"{target}.{method}" for method in ("__init__", "__post_init__") if self._has(target, method))

    def _methods(self, receiver: str | None, attribute: str) -> Iterator[str]:
        owners = self.classes if receiver is _UNKNOWN else [receiver]
        for owner in owners:
            if self._has(owner, attribute):
                yield f"{owner}.{attribute}"

    def _has(self, owner: str, method: str) -> bool:
        return f"{owner}.{method}" in self.functions

    def _types(self, name: str) -> dict[str, str | None]:
        """Give the classes of a function's parameters and annotated or plainly assigned variables."""
        module, owner = self._place(name)
        function = self.functions[name]
        types: dict[str, str | None] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.arg):
                types[node.arg] = owner if node.arg == "self" else self._annotated(module, node.annotation)
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                types[node.targets[0].id] = self._type(module, owner, types, node.value)
        return types

    def _annotated(self, module: _Module, annotation: ast.expr | None) -> str | None:
        """Give the class that an annotation names; of a union the one that is ours."""
        if annotation is None:
            return _UNKNOWN
        if isinstance(annotation, ast.Subscript):  # a list of ours is a list
            return _FOREIGN
        names = [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)]
        ours = [resolved for name in names if (resolved := self._resolved(module, name)) in self.classes]
        if len(ours) == 1:
            return ours[0]
        return _FOREIGN if not ours and "Any" not in names and "object" not in names else _UNKNOWN

    def _type(self, module: _Module, owner: str | None, types: Mapping[str, str | None], node: ast.expr) -> str | None:
        """Give the class of an expression, as far as annotations tell it."""
        if isinstance(node, ast.Name):
            imported = module.imports.get(node.id, "shared")
            return types.get(node.id, _UNKNOWN if imported.partition(".")[0] == "shared" else _FOREIGN)
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp):
            return _FOREIGN
        if isinstance(node, ast.Call):
            return self._returned(module, owner, types, node.func)
        if isinstance(node, ast.Attribute):
            return self._attribute(self._type(module, owner, types, node.value), node.attr)
        return _UNKNOWN

    def _returned(
        self, module: _Module, owner: str | None, types: Mapping[str, str | None], function: ast.expr
    ) -> str | None:
        if isinstance(function, ast.Name):
            if hasattr(builtins, function.id):
                return _FOREIGN
            target = self._resolved(module, function.id)
        elif isinstance(function, ast.Attribute):
            receiver = self._type(module, owner, types, function.value)
            target = self._dotted(module, function) or f"{receiver}.{function.attr}"
            if receiver == _FOREIGN:
                return _UNKNOWN
        else:
            return _UNKNOWN
        if target in self.classes:
            return target
        if target in self.functions:
            return self._annotated(self._place(target)[0], self.functions[target].returns)
        return _FOREIGN if target.partition(".")[0] not in ("handlers", "shared") else _UNKNOWN

    def _attribute(self, owner: str | None, attribute: str) -> str | None:
        """Give the class of an object's attribute: a field, a property, or what __init__ put there."""
        if owner is _UNKNOWN or owner not in self.classes:
            return owner
        module = self.modules[owner.rpartition(".")[0]]
        for each in self.classes[owner].body:
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.target.id == attribute:
                return self._annotated(module, each.annotation)
        if self._has(owner, attribute):
            return self._annotated(module, self.functions[f"{owner}.{attribute}"].returns)
        init = f"{owner}.__init__"
        for node in ast.walk(self.functions[init]) if init in self.functions else ():
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == f"self.{attribute}":
                return self._type(module, owner, self._types(init), node.value)
        return _UNKNOWN


@cache
def _code() -> _Code:
    return _Code()


def _parsed(path: Any) -> _Module:
    tree = ast.parse(path.read_text())
    imports = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            imports.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        elif isinstance(node, ast.Import):
            imports.update({alias.asname or alias.name: alias.name for alias in node.names})
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    return _Module(name, tree, imports)


def _may_take(method: ast.FunctionDef, call: ast.Call) -> bool:
    """Tell whether a method may be what a call means, by the arguments that it takes."""
    if method.name == "get" and call.args and isinstance(call.args[0], ast.Constant):
        return False  # a mapping's: no document's name stands in the source
    positional = [argument.arg for argument in method.args.posonlyargs + method.args.args][1:]
    named = {argument.arg for argument in method.args.kwonlyargs} | set(positional)
    return len(call.args) <= len(positional) and {keyword.arg for keyword in call.keywords} <= named


def _without_comparisons(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without what is only compared with: naming an operation there is no call of it."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Compare):
            yield from _without_comparisons(child)


def _services(module: _Module) -> set[str]:
    """Give the services that a module makes clients of."""
    return {
        service
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "client"
        and node.args
        if isinstance(node.args[0], ast.Constant) and isinstance(service := node.args[0].value, str)
    }
