"""Every sample event through its handler, in the order of a bot's life."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local import events, template
from local.stack import Running, listen, stack
from tests.proxies import SigningProxy
from tests.support import ApiClient


@pytest.fixture(scope="module")
def running(signed_opensearch: SigningProxy) -> Iterator[Running]:
    with stack(
        signed_opensearch.url, listen(0), workers=1, extra={"INDEX_PREFIX": "events", **events.ALONE}
    ) as running:
        yield running


def test_every_function_has_one_event_and_every_event_a_function() -> None:
    handlers = {function.handler.split(".")[1] for function in template.functions().values()}

    assert {path.stem for path in events.FOLDER.iterdir()} == handlers
    assert {path.stem for path in (template.ROOT / "src" / "handlers").glob("[!_]*.py")} == handlers
    assert sorted([*events.LIFE, events.APART]) == sorted(handlers)


def test_the_events_are_a_bots_life(running: Running) -> None:
    client_of = ApiClient(running.url, running.aws_url).aws
    client = client_of("lambda")
    events.make_buckets(client_of("s3"))

    def invoke(name: str) -> Any:
        payload = json.dumps(events.sample(name))
        reply = client.invoke(FunctionName=events.function_of(name).id, Payload=payload)
        assert "FunctionError" not in reply
        return json.loads(reply["Payload"].read())

    answers = {name: invoke(name) for name in events.LIFE}
    bodies = {name: json.loads(answer["body"]) for name, answer in answers.items() if answer.get("body")}

    roles = ("monitor", "read", "write", "run_bots", "operate")
    assert answers["map_roles"] == {"mapped": [f"events_{role}" for role in roles]}
    assert answers["health"]["statusCode"] == 200
    created = answers["create_bot"]
    assert (created["statusCode"], created["headers"]["Location"]) == (201, "/v1/bots/foo_bot")
    assert answers["provision_endpoint"] == {
        "endpoints": [{"name": "foo-autogluon-sagemaker-inference", "status": "InService"}]
    }
    assert answers["record_endpoint"] == {"status": "InService"}
    assert answers["reconcile_endpoints"]["looked_at"] >= 0
    assert [endpoint["bots"] for endpoint in bodies["list_endpoints"]["endpoints"]] == [["foo_bot"]]
    assert bodies["deploy_bot"]["endpoints"][0]["action"] == "none"
    assert bodies["update_bot"]["bot_image_cmd"] == "--fast"
    shown = bodies["get_bot"]
    assert (shown["name"], shown["endpoints"][0]["status"]) == ("foo_bot", "InService")
    assert [bot["name"] for bot in bodies["list_bots"]["bots"]] == ["foo_bot"]
    assert answers["method_not_allowed"]["statusCode"] == 405
    assert (bodies["create_job"]["status"], bodies["create_job"]["number_of_bots"]) == ("QUEUED", 2)
    job_id = bodies["create_job"]["job_id"]
    assert [job["job_id"] for job in bodies["list_jobs"]["jobs"]] == [job_id]
    assert answers["check_job_endpoints"] == {"ready": True, "waiting_for": []}
    assert answers["list_files"] == {"reset": True, "after": "2026/pictures/fjord.jpg", "files": 2, "done": True}
    assert answers["prepare_slices"]["slices"] == [1, 2]
    assert answers["prepare_slices"]["environment"]["es_index"] == "events-items"
    assert (bodies["get_job"]["status"], bodies["get_job"]["counts"]["NOT_STARTED"]) == ("RUNNING", 2)
    assert bodies["list_job_files"] == {"files": [], "next_token": None}  # none in ERROR
    assert answers["reconcile_jobs"] == {"looked_at": 0}  # it is too young to be looked at
    assert answers["sum_up_job"]["status"] == "FAILED"
    assert answers["sum_up_job"]["reason"].startswith("2 of 2 files were not finished: the platform failed at it")
    assert answers["record_job"] == {"status": "FAILED"}
    assert answers["cancel_job"]["statusCode"] == 409  # it is finished
    assert answers["delete_bot"]["statusCode"] == 204
    assert answers["retry_job"]["statusCode"] == 409  # its bot is gone
    assert answers["manage_snapshots"]["repository"] == "cs-automated-enc"
    assert invoke("get_bot")["statusCode"] == 404
