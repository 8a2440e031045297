"""The policies that decide, as the product's template makes them: of each role, VPC endpoint, domain and key."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from local import arns, template
from local.cloudformation import Stack

#: A customer's key: objects under it are read and written by the bots of the deployment whose rights are looked at.
DATA_KEY_ARN: Final = f"arn:aws:kms:{arns.REGION}:{arns.ACCOUNT}:key/data"
#: The policy of a key that nobody gave one (AWS KMS developer guide, "Default key policy").
_KEY_POLICY: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{arns.ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies by names of ours, and who is bound by which."""

    documents: dict[str, dict[str, Any]]
    role_arns: Mapping[str, str]  # by the roles' logical ids
    of_roles: Mapping[str, tuple[str, ...]]  # by the roles' ARNs
    of_endpoints: Mapping[str, str | None]  # by the last part of the service's name; None where anything may pass
    of_resources: Mapping[str, str]  # by the resources' ARNs

    def statements(self, role: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give a role's statements, each by its policy's name and its number from 1."""
        for name in self.of_roles[self.role_arns[role]]:
            for number, statement in enumerate(self.documents[name]["Statement"], start=1):
                yield f"{name} {number}", statement


@cache
def deployed() -> Policies:
    """Give the policies of a deployment with its parameters at their defaults, whose bots may use DATA_KEY_ARN."""
    return policies_of(Stack(template.TEMPLATE, {"DataKeyArns": DATA_KEY_ARN}))


def policies_of(stack: Stack) -> Policies:
    """Read the policies of a stack and of those nested in it."""
    documents: dict[str, dict[str, Any]] = {"the data key's policy": _KEY_POLICY}
    roles: dict[str, str] = {}
    bound: defaultdict[str, list[str]] = defaultdict(list)
    managed: dict[str, str] = {}
    endpoints: dict[str, str | None] = {}
    resources = {DATA_KEY_ARN: "the data key's policy"}

    def keep(name: str, document: dict[str, Any]) -> str:
        documents[name] = document
        return name

    for each in stack.every():
        for kind in ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy"):
            for id, properties in each.resources(kind):
                name = keep(id, each.resolve(properties["PolicyDocument"]))
                if kind == "AWS::IAM::ManagedPolicy":
                    managed[each.resolve({"Ref": id})] = name
                for role in each.resolve(properties.get("Roles", [])):
                    bound[arns.role(role)].append(name)
        for id, properties in each.resources("AWS::EC2::VPCEndpoint"):
            service = each.resolve(properties["ServiceName"]).partition(f"{arns.REGION}.")[2]
            document = each.resolve(properties.get("PolicyDocument"))
            endpoints[service] = document and keep(id, _for_anybody(document))
        for id, properties in each.resources("AWS::OpenSearchService::Domain"):
            resources[each.resolve({"Fn::GetAtt": [id, "Arn"]})] = keep(id, each.resolve(properties["AccessPolicies"]))
        for id, properties in each.resources("AWS::KMS::Key"):
            resources[each.resolve({"Fn::GetAtt": [id, "Arn"]})] = keep(id, each.resolve(properties["KeyPolicy"]))
    for each in stack.every():
        for id, properties in each.resources("AWS::IAM::Role"):
            arn = roles[id] = each.resolve({"Fn::GetAtt": [id, "Arn"]})
            attached = each.resolve(properties.get("ManagedPolicyArns", []))
            bound[arn].extend(managed[policy] for policy in attached if ":iam::aws:" not in policy)
            for inline in each.resolve(properties.get("Policies", [])):
                bound[arn].append(keep(f"{id}.{inline['PolicyName']}", inline["PolicyDocument"]))
    of_roles = {arn: tuple(bound[arn]) for arn in roles.values()}
    return Policies(documents, roles, of_roles, endpoints, resources)


def _for_anybody(document: dict[str, Any]) -> dict[str, Any]:
    """Write {"AWS": "*"} as "*": they mean the same, and the evaluator takes one (IAM user guide, "Principal")."""
    statements = [
        {**statement, "Principal": "*"} if statement["Principal"] == {"AWS": "*"} else statement
        for statement in document["Statement"]
    ]
    return {**document, "Statement": statements}
