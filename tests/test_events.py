"""Every sample event through its handler, in the order of a bot's life."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from local import template
from local.aws import CREDENTIALS, REGION
from local.stack import Running, listen, stack
from tests.proxies import SigningProxy

EVENTS = template.ROOT / "events"


@pytest.fixture(scope="module")
def running(signed_opensearch: SigningProxy) -> Iterator[Running]:
    with stack(signed_opensearch.url, listen(0), workers=1, extra={"INDEX_PREFIX": "events"}) as running:
        yield running


def test_every_function_has_one_event_and_every_event_a_function() -> None:
    handlers = {function.handler.split(".")[1] for function in template.functions().values()}

    assert {path.stem for path in EVENTS.iterdir()} == handlers
    assert {path.stem for path in (template.ROOT / "src" / "handlers").glob("[!_]*.py")} == handlers


def test_the_events_are_a_bots_life(running: Running) -> None:
    client = boto3.client(
        "lambda",
        endpoint_url=running.aws_url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
    functions = {function.handler.split(".")[1]: id for id, function in template.functions().items()}

    def invoke(name: str) -> Any:
        reply = client.invoke(FunctionName=functions[name], Payload=(EVENTS / f"{name}.json").read_bytes())
        assert "FunctionError" not in reply
        return json.loads(reply["Payload"].read())

    assert invoke("health")["statusCode"] == 200
    created = invoke("create_bot")
    assert (created["statusCode"], created["headers"]["Location"]) == (201, "/v1/bots/foo_bot")
    assert invoke("provision_endpoint") == {
        "endpoints": [{"name": "foo-autogluon-sagemaker-inference", "status": "InService"}]
    }
    assert invoke("record_endpoint") == {"status": "InService"}
    assert invoke("reconcile_endpoints")["looked_at"] >= 0
    listed = json.loads(invoke("list_endpoints")["body"])["endpoints"]
    assert [endpoint["bots"] for endpoint in listed] == [["foo_bot"]]
    assert json.loads(invoke("deploy_bot")["body"])["endpoints"][0]["action"] == "none"
    assert json.loads(invoke("update_bot")["body"])["bot_image_cmd"] == "--fast"
    shown = json.loads(invoke("get_bot")["body"])
    assert (shown["name"], shown["endpoints"][0]["status"]) == ("foo_bot", "InService")
    assert [bot["name"] for bot in json.loads(invoke("list_bots")["body"])["bots"]] == ["foo_bot"]
    assert invoke("method_not_allowed")["statusCode"] == 405
    assert invoke("delete_bot")["statusCode"] == 204
    assert invoke("get_bot")["statusCode"] == 404
