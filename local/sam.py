"""What `sam local` needs: the built template, with the functions told of local mode instead of a deployment.

`sam local` sets only those variables of a function that the template names, and a deployment has no AWS_ENDPOINT_URL.
So the template that it is given is a copy of the one that `make build` leaves, with local values.
"""

import tomllib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Final

import yaml

from local import template
from local.aws import CREDENTIALS
from local.hosts import moved
from local.identities import keys_of

BUILD: Final = template.ROOT / ".aws-sam" / "build"
_METHODS: Final = ("GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS")


class NotBuiltError(RuntimeError):
    """Raised when there is nothing that containers could run."""

    def __init__(self) -> None:
        super().__init__("nothing is built that sam local could run; run `make build` first")


def write_template(path: Path, environment: Mapping[str, str], address: str) -> None:
    """Write the template for a stack whose functions have `environment` and whose servers containers see at `address`.

    A function gets what the template names for it, and what Lambda itself sets, so that a variable that the template
    forgets is missing here as well. Its keys are its role's; where `environment` has others, `sam local` passes the
    caller's own. Raises NotBuiltError.
    """
    if not (BUILD / "template.yaml").exists():
        raise NotBuiltError
    document = yaml.safe_load((BUILD / "template.yaml").read_text())
    local = {name: moved(value, address) for name, value in environment.items() if name not in CREDENTIALS}
    functions = template.functions(BUILD / "template.yaml")
    taken = {(route.path, route.method) for function in functions.values() for route in function.routes}
    for id, function in functions.items():
        properties = document["Resources"][id]["Properties"]
        properties["CodeUri"] = str(BUILD / properties["CodeUri"])
        properties["Events"] = _without_any(properties.get("Events", {}), taken)
        variables = properties.setdefault("Environment", {}).setdefault("Variables", {})
        variables |= {name: value for name, value in local.items() if _is_given(name, function)}
        variables |= {name: value for name, value in keys_of(function.role).items() if name not in environment}
    document["Parameters"]["Architecture"]["Default"] = _architecture()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def _architecture() -> str:
    """Read from what `sam build` notes of itself for which architecture it was; all functions share one."""
    noted = tomllib.loads(BUILD.with_suffix(".toml").read_text())["function_build_definitions"]
    (architecture,) = {definition["architecture"] for definition in noted.values()}
    return str(architecture)


def _is_given(name: str, function: template.Function) -> bool:
    return name in function.environment or name.startswith("AWS_")


def _without_any(declared: Mapping[str, Any], taken: AbstractSet[tuple[str, str]]) -> dict[str, Any]:
    """Spell out ANY as the methods that are left: start-api may prefer it to a route that names its method."""
    spelt: dict[str, Any] = {}
    for id, event in declared.items():
        properties = event["Properties"]
        if event["Type"] != "Api" or properties["Method"].upper() != "ANY":
            spelt[id] = event
            continue
        for method in _METHODS:
            if (properties["Path"], method) not in taken:
                spelt[id + method.title()] = {**event, "Properties": {**properties, "Method": method}}
    return spelt
