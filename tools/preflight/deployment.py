"""What is about to be deployed: the templates, their parameters, and where to.

Read as `sam deploy` reads it: from samconfig.toml, whose parameter_overrides a guided deployment writes.
"""

import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.session import Session

from local import template

SAMCONFIG: Final = template.ROOT / "samconfig.toml"
NESTED: Final = template.ROOT / "infra"
#: Under this name the nested templates are told the stack's.
_STACK_PARAMETER: Final = "DeploymentName"
_PAIR: Final = re.compile(r"ParameterKey=([^,]+),ParameterValue=(.*)", re.DOTALL)


class UnresolvedError(LookupError):
    """Raised for a value of a template that only a deployment can tell."""


@dataclass(frozen=True)
class Deployment:
    """One deployment: the stack's name, its region (None: none is set anywhere), and the parameters that were set.

    `deployed`: the parameters of the stack that is there already; one that is not set anew keeps its value.
    """

    stack: str
    region: str | None
    profile: str | None
    overrides: Mapping[str, str]
    documents: Mapping[str, Mapping[str, Any]]  # template.yaml first, then what it nests
    deployed: Mapping[str, str] = field(default_factory=dict)

    @property
    def main(self) -> Mapping[str, Any]:
        """The template of the stack itself."""
        return self.documents[template.TEMPLATE.name]

    @cached_property
    def session(self) -> boto3.Session:
        """The session of the person who deploys."""
        return boto3.Session(profile_name=self.profile, region_name=self.region)

    @cached_property
    def partition(self) -> str:
        """The partition that the region is in; raise UnknownRegionError."""
        return str(self.session.get_partition_for_region(self.region))

    @cached_property
    def url_suffix(self) -> str:
        """What the addresses of services end in, in this partition."""
        return str(Session().get_component("endpoint_resolver").get_partition_dns_suffix(self.partition))

    def __getitem__(self, parameter: str) -> str:
        """Give a parameter's value as it will be deployed, "" for one that the template does not have."""
        default = self.main["Parameters"].get(parameter, {}).get("Default", "")
        return self.overrides.get(parameter, self.deployed.get(parameter, str(default))).strip()

    def listed(self, parameter: str) -> list[str]:
        """Give the items of a parameter that is a list with commas."""
        return [item.strip() for item in self[parameter].split(",") if item.strip()]

    def resources(self, kind: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
        """Give the name, the properties and the template of every resource of a type."""
        for name, document in self.documents.items():
            for id, resource in document["Resources"].items():
                if resource["Type"] == kind:
                    yield id, resource.get("Properties", {}), name

    def resolve(self, value: Any, name: str) -> Any:
        """Compute a value that the template of that name holds; raise UnresolvedError for what is not known before."""
        match value:
            case {"Ref": str(target)}:
                return self._named(target, name)
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(self._named(found[1], name)), text)
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(str(self.resolve(part, name)) for part in parts)
            case {"Fn::FindInMap": [mapping, first, second]}:
                keys = [self.resolve(key, name) for key in (mapping, first, second)]
                try:
                    return self.documents[name]["Mappings"][keys[0]][keys[1]][keys[2]]
                except KeyError:
                    raise UnresolvedError(f"no {'.'.join(keys)} in the mappings of {name}") from None
            case str() | int() | float():
                return value
        raise UnresolvedError(f"what {value} of {name} will be")

    def _named(self, target: str, name: str) -> Any:
        pseudo = {
            "AWS::Region": self.region,
            "AWS::Partition": self.partition,
            "AWS::URLSuffix": self.url_suffix,
            _STACK_PARAMETER: self.stack,
        }
        if name == template.TEMPLATE.name:
            pseudo["AWS::StackName"] = self.stack  # a nested stack's is CloudFormation's to choose
        if target in pseudo:
            return pseudo[target]
        if target in self.documents[name].get("Parameters", {}):
            given = self._given(target, name)
            if given is not None:
                return given
        raise UnresolvedError(f"what {target} of {name} will be")

    def _given(self, parameter: str, name: str) -> Any:
        """Give what a template gets for a parameter: the stack from its caller, a nested one from the stack."""
        main = template.TEMPLATE.name
        if name == main:
            return self[parameter]
        for _, properties, _ in self.resources("AWS::CloudFormation::Stack"):
            if Path(str(properties.get("TemplateURL", ""))).name == name:
                wanted = properties.get("Parameters", {}).get(parameter)
                if wanted is not None:
                    return self.resolve(wanted, main)
        return self.documents[name]["Parameters"][parameter].get("Default")


def read(
    *,
    region: str | None = None,
    parameters: Mapping[str, str] | None = None,
    samconfig: Path = SAMCONFIG,
    nested: Path = NESTED,
) -> Deployment:
    """Read what `sam deploy` would deploy from here; what is given here goes before what samconfig.toml says."""
    config = tomllib.loads(samconfig.read_text()) if samconfig.exists() else {}
    environment = config.get("default", {})
    settings = {
        **environment.get("global", {}).get("parameters", {}),
        **environment.get("deploy", {}).get("parameters", {}),
    }
    profile = settings.get("profile")
    where = (region, settings.get("region"), os.environ.get("AWS_REGION"), boto3.Session(profile).region_name)
    documents = {path.name: template.document(path) for path in (template.TEMPLATE, *sorted(nested.glob("*.yaml")))}
    return Deployment(
        stack=settings.get("stack_name", "byob"),
        region=next(filter(None, where), None),
        profile=profile,
        overrides={**overrides(settings.get("parameter_overrides", "")), **(parameters or {})},
        documents=documents,
    )


def overrides(written: object) -> dict[str, str]:
    """Read parameter_overrides in each form that SAM takes: a table, a list of pairs, or one text of them."""
    if isinstance(written, Mapping):
        return {str(name): str(value) for name, value in written.items()}
    parts = written if isinstance(written, list) else shlex.split(str(written))
    read_so_far: dict[str, str] = {}
    for part in parts:
        pair = _PAIR.fullmatch(str(part))
        name, value = pair.groups() if pair else str(part).partition("=")[::2]
        read_so_far[name] = " ".join(shlex.split(value)) if value.startswith(('"', "'")) else value
    return read_so_far
