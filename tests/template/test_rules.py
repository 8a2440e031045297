"""The rules themselves: what is taken from the template makes one of them fail."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.template import ROOT, document


def _actions(policy: str, statement: int) -> Callable[[dict[str, Any]], Any]:
    return lambda template: template["Resources"][policy]["Properties"]["PolicyDocument"]["Statement"].pop(statement)


def _variable(function: str, name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda template: template["Resources"][function]["Properties"]["Environment"]["Variables"].pop(name)


TAKEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "the right to look at endpoints": _actions("LookPolicy", 0),
    "the right to pass the endpoints' role": _actions("ControlPolicy", -1),
    "the right to trigger provisioning": _actions("ProvisionPolicy", 0),
    "a policy from a role": lambda t: t["Resources"]["GetBotRole"]["Properties"]["ManagedPolicyArns"].pop(),
    "a role from the domain's policy": lambda t: t["Resources"]["Domain"]["Properties"]["AccessPolicies"]["Statement"][
        0
    ]["Principal"]["AWS"].pop(),
    "SageMaker's VPC endpoint": lambda t: t["Resources"].pop("SageMakerEndpoint"),
    "S3's VPC endpoint": lambda t: t["Resources"].pop("S3Endpoint"),
    "a variable of one function": _variable("ReconcileEndpoints", "OWNER_TAG"),
    "a variable of every function": lambda t: t["Globals"]["Function"]["Environment"]["Variables"].pop("INDEX_PREFIX"),
    "the failure destination of the functions": lambda t: t["Globals"]["Function"].pop("EventInvokeConfig"),
    "the dead-letter queue of an event": lambda t: t["Resources"]["RecordEndpoint"]["Properties"]["Events"][
        "StateChange"
    ]["Properties"].pop("DeadLetterConfig"),
    "the end of a log": lambda t: t["Resources"]["AccessLogs"]["Properties"].pop("RetentionInDays"),
}


@pytest.mark.parametrize("what", TAKEN)
def test_a_template_that_lacks_something_breaks_a_rule(what: str, tmp_path: Path) -> None:
    lacking = json.loads(json.dumps(document()))
    assert TAKEN[what](lacking)
    path = tmp_path / "template.json"
    path.write_text(json.dumps(lacking))
    rules = ["tests/template/test_permissions.py", "tests/template/test_stack.py"]

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--template", str(path), *rules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1, run.stdout
    assert "failed" in run.stdout
