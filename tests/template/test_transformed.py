"""What CloudFormation gets in each partition: what SAM adds is held to the same rules as the template itself."""

import json
import re
import subprocess
from typing import Any

import pytest

from local.template import ROOT, functions

pytestmark = pytest.mark.transformed
REGIONS = {"aws": "eu-west-1", "aws-cn": "cn-northwest-1", "aws-us-gov": "us-gov-west-1"}


@pytest.fixture(scope="module", params=REGIONS)
def transformed(request: pytest.FixtureRequest) -> dict[str, Any]:
    command = [".tools/sam/bin/python", "tools/transform.py", REGIONS[request.param]]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    resources: dict[str, Any] = {"partition": request.param, **json.loads(run.stdout)["Resources"]}
    return resources


def of(transformed: dict[str, Any], kind: str) -> dict[str, Any]:
    return {id: each["Properties"] for id, each in transformed.items() if id != "partition" and each["Type"] == kind}


def operations(transformed: dict[str, Any]) -> list[dict[str, Any]]:
    paths = of(transformed, "AWS::ApiGateway::RestApi")["Api"]["Body"]["paths"]
    return [operation for path in paths.values() for operation in path.values()]


def test_every_call_of_the_api_is_authorised_by_iam(transformed: dict[str, Any]) -> None:
    routes = [route for function in functions().values() for route in function.routes]

    assert len(operations(transformed)) == len(routes)
    assert all(operation["security"] == [{"AWS_IAM": []}] for operation in operations(transformed))


def test_a_caller_needs_no_right_beyond_the_apis(transformed: dict[str, Any]) -> None:
    integrations = [operation["x-amazon-apigateway-integration"] for operation in operations(transformed)]

    assert not any("credentials" in integration for integration in integrations)


def test_no_browser_is_invited(transformed: dict[str, Any]) -> None:
    assert "Access-Control" not in json.dumps(of(transformed, "AWS::ApiGateway::RestApi"))


def test_the_stage_is_throttled_traced_and_logged(transformed: dict[str, Any]) -> None:
    (stage,) = of(transformed, "AWS::ApiGateway::Stage").values()

    (settings,) = stage["MethodSettings"]
    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert settings["ThrottlingRateLimit"] == {"Ref": "ApiRequestsPerSecond"}
    assert settings["ThrottlingBurstLimit"] == {"Ref": "ApiBurst"}
    assert settings["DataTraceEnabled"] is False
    assert stage["TracingEnabled"] is True
    line = json.loads(stage["AccessLogSetting"]["Format"].replace("\n", " "))
    assert {line["request_id"], line["user_arn"]} == {"$context.requestId", "$context.identity.userArn"}


def test_every_function_is_traced_in_the_vpc_logs_to_the_group_and_tells_of_failures(
    transformed: dict[str, Any],
) -> None:
    made = of(transformed, "AWS::Lambda::Function")
    told = {
        config["FunctionName"]["Ref"]: config["DestinationConfig"]["OnFailure"]["Destination"]
        for config in of(transformed, "AWS::Lambda::EventInvokeConfig").values()
    }

    assert made.keys() == functions().keys()
    for function in made.values():
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert function["VpcConfig"]["SubnetIds"]
        assert function["LoggingConfig"] == {"LogGroup": {"Ref": "FunctionLogs"}}
    assert told == {id: {"Fn::GetAtt": ["FailedEvents", "Arn"]} for id in made}


def test_everything_calls_a_function_by_its_alias(transformed: dict[str, Any]) -> None:
    aliases = {f"{id}Aliaslive" for id in functions()}
    targets = [
        target["Arn"]["Ref"] for rule in of(transformed, "AWS::Events::Rule").values() for target in rule["Targets"]
    ]
    uris = [str(operation["x-amazon-apigateway-integration"]["uri"]) for operation in operations(transformed)]

    assert targets
    assert set(targets) <= aliases
    assert all(re.search(r"functions/\$\{(\w+)\}", uri)[1] in aliases for uri in uris)  # type: ignore[index]


def test_sam_makes_no_role_of_its_own(transformed: dict[str, Any]) -> None:
    text = (ROOT / "template.yaml").read_text()

    assert all(f"\n  {role}:\n" in text for role in of(transformed, "AWS::IAM::Role"))


def test_a_function_is_called_by_the_source_that_it_was_made_for_alone(transformed: dict[str, Any]) -> None:
    for permission in of(transformed, "AWS::Lambda::Permission").values():
        assert permission["Action"] == "lambda:InvokeFunction"
        assert "SourceArn" in permission


def test_no_arn_is_of_another_partition(transformed: dict[str, Any]) -> None:
    partitions = set(re.findall(r"arn:(aws[\w-]*):", json.dumps(transformed)))

    assert partitions == {transformed["partition"]}
