"""The rules themselves: what is taken from the template makes one of them fail."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from local.template import ROOT
from tests.template.reading import documents
from tests.template.undoing import Change, Read, dropping, setting

FOUNDATION = "infra/foundation.yaml"


def _resource(id: str, template: str = "") -> Callable[[Read], dict[str, Any]]:
    return lambda read: read[template]["Resources"][id]["Properties"]


def _actions(policy: str, statement: int) -> Change:
    return lambda read: _resource(policy)(read)["PolicyDocument"]["Statement"].pop(statement)


def _variable(function: str, name: str) -> Change:
    return lambda read: _resource(function)(read)["Environment"]["Variables"].pop(name)


TAKEN: dict[str, Change] = {
    "nothing": bool,  # or any rule that is broken anyway would be found everywhere
    "the right to look at endpoints": _actions("LookPolicy", 0),
    "the right to pass the endpoints' role": _actions("ControlPolicy", -1),
    "the right to trigger provisioning": _actions("ProvisionPolicy", 0),
    "a policy from a role": lambda read: _resource("GetBotRole")(read)["ManagedPolicyArns"].pop(),
    "what lets the domain's master run": lambda read: _resource("RunPolicy")(read).pop("Roles"),
    "SageMaker's VPC endpoint": lambda read: read["infra/endpoints.yaml"]["Resources"].pop("SageMakerEndpoint"),
    "S3's VPC endpoint": lambda read: read["infra/endpoints.yaml"]["Resources"].pop("S3Endpoint"),
    "a variable of one function": _variable("ReconcileEndpoints", "OWNER_TAG"),
    "a variable of every function": lambda read: read[""]["Globals"]["Function"]["Environment"]["Variables"].pop(
        "INDEX_PREFIX"
    ),
    "the failure destination of the functions": lambda read: read[""]["Globals"]["Function"].pop("EventInvokeConfig"),
    "the dead-letter queue of an event": lambda read: _resource("RecordEndpoint")(read)["Events"]["StateChange"][
        "Properties"
    ].pop("DeadLetterConfig"),
    "the end of a log": lambda read: _resource("AccessLogs")(read).pop("RetentionInDays"),
    "the end of a job that nothing can hold": lambda read: _resource("JobQueue")(read).pop("JobStateTimeLimitActions"),
    "the bound on a bot's size": _variable("CreateBot", "BOT_MAX_VCPUS"),
    "the length of body that the web ACL looks at": lambda read: _resource("ApiWebAcl")(read).pop("AssociationConfig"),
    "what the endpoints may measure": _actions("EndpointPolicy", 3),
    "the instances' own small role": lambda read: _resource("JobInstanceRole")(read).pop("Policies"),
    "the right to read under customer keys": lambda read: read[""]["Resources"].pop("ReadDataKeysPolicy"),
    "the right to write under customer keys": lambda read: read[""]["Resources"].pop("WriteDataKeysPolicy"),
    "a partition": lambda read: read["infra/endpoints.yaml"]["Mappings"]["Partitions"].pop("aws-eusc"),
    "the default that reserves nothing": lambda read: read[""]["Parameters"]["ReservedConcurrency"].pop("Default"),
    "ten minutes of waiting that Batch asks for": setting(
        "Resources/JobQueue/Properties/JobStateTimeLimitActions/0/MaxTimeSeconds", 60
    ),
    "the key from the logs": dropping("Resources/Key/Properties/KeyPolicy/Statement/1", FOUNDATION),
    "the key from the delivery of logs": dropping("Resources/Key/Properties/KeyPolicy/Statement/2", FOUNDATION),
    "the principal that delivers logs": setting(
        "Mappings/Principals/LogDelivery/Service", "logs.amazonaws.com", FOUNDATION
    ),
    "a kind of API Gateway's own answers": dropping(
        "Resources/Api/Properties/GatewayResponses/MISSING_AUTHENTICATION_TOKEN"
    ),
    "the type of one of them": dropping(
        "Resources/Api/Properties/GatewayResponses/THROTTLED/ResponseParameters/Headers/Content-Type"
    ),
    "the right to drain oneself": lambda read: _resource("JobInstanceRole")(read)["Policies"][0]["PolicyDocument"][
        "Statement"
    ][1]["Action"].remove("ecs:UpdateContainerInstancesState"),
    "the draining of a reclaimed instance": setting(
        "Resources/JobLaunchTemplate/Properties/LaunchTemplateData/UserData/Fn::Base64", "#!/bin/sh"
    ),
    "the role that may be passed": lambda read: _resource("ControlPolicy")(read)["PolicyDocument"]["Statement"][
        -1
    ].update(Resource={"Fn::GetAtt": ["CreateBotRole", "Arn"]}),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What holding the rules to a template that lacks something says, by what it lacks."""
    paths = []
    for what, take in TAKEN.items():
        lacking = json.loads(json.dumps(documents()))
        take(lacking)
        assert (lacking == documents()) == (what == "nothing"), what
        folder = tmp_path_factory.mktemp("lacking")
        (folder / "infra").mkdir()
        for name, read in lacking.items():
            (folder / (name or "template.yaml")).write_text(json.dumps(read))
        paths.append(str(folder / "template.yaml"))
    command = [sys.executable, "-m", "tests.template.holding", *paths]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(zip(TAKEN, run.stdout.splitlines(), strict=False))


@pytest.mark.parametrize("what", TAKEN)
def test_a_template_that_lacks_something_breaks_a_rule(what: str, found: dict[str, str]) -> None:
    assert found[what] == ("kept" if what == "nothing" else "broken")
