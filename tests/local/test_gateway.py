"""What API Gateway answers by itself: the template says it, local mode says the same."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import pytest
import uvicorn
from moto.core.utils import get_service_model

from local import gateway, template
from local.stack import listen
from tests.support import ApiClient, eventually


class Functions:
    """Functions that give what a test says, as a future that is done, failed, or never ends."""

    def __init__(self) -> None:
        self.result: Future[Any] = Future()

    def submit(self, handler: str, event: Mapping[str, Any]) -> "Future[Any]":  # noqa: ARG002 - the same for all
        return self.result


@pytest.fixture(scope="module")
def functions() -> Functions:
    return Functions()


@pytest.fixture(scope="module")
def api(functions: Functions) -> Iterator[ApiClient]:
    listener = listen(0)
    server = uvicorn.Server(uvicorn.Config(gateway.app(functions, {}), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    eventually(lambda: server.started, lambda started: started)
    host, port = listener.getsockname()
    yield ApiClient(f"http://{host}:{port}", "")
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def result(functions: Functions) -> "Future[Any]":
    functions.result = Future()
    return functions.result


def test_every_answer_that_api_gateway_can_give_by_itself_is_a_problem_document() -> None:
    kinds = get_service_model("apigateway").shape_for("GatewayResponseType").enum

    responses = template.gateway_responses()

    assert sorted(responses) == sorted(kinds)
    for kind, response in responses.items():
        # Amazon API Gateway developer guide, "Variables for access logging": messageString is the message in quotes.
        problem = json.loads(response.body.replace("$context.error.messageString", '"its message"'))
        assert response.headers["Content-Type"] == "application/problem+json", kind
        assert problem["type"].startswith("urn:byob:"), kind
        assert problem["title"], kind
        assert problem["detail"], kind
        assert problem["request_id"] == "$context.extendedRequestId", kind
        assert problem.get("status") == response.status, kind
        assert (response.status is None) is kind.startswith("DEFAULT_"), kind


def test_what_may_be_sent_again_says_when() -> None:
    waits = {kind for kind, response in template.gateway_responses().items() if "Retry-After" in response.headers}

    assert waits == {"THROTTLED", "INTEGRATION_TIMEOUT", "INTEGRATION_FAILURE"}


def test_a_function_that_takes_too_long_is_a_504_that_may_be_sent_again(
    api: ApiClient, result: "Future[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "INTEGRATION_TIMEOUT_SECONDS", 0)

    late = api("GET", "/bots")

    assert (late.status, late.json["status"], late.json["type"]) == (504, 504, "urn:byob:out-of-time")
    assert (late.headers["content-type"], late.headers["retry-after"]) == ("application/problem+json", "2")


@pytest.mark.parametrize("outcome", [RuntimeError("it fell over"), "no answer of a proxy", {"body": "no status"}])
def test_a_function_that_fails_or_answers_nonsense_is_a_502(
    api: ApiClient, result: "Future[Any]", outcome: Any
) -> None:
    if isinstance(outcome, Exception):
        result.set_exception(outcome)
    else:
        result.set_result(outcome)

    failed = api("GET", "/bots")

    assert (failed.status, failed.json["type"]) == (502, "urn:byob:internal")
    assert failed.headers["content-type"] == "application/problem+json"
    assert failed.json["request_id"] == failed.headers["x-amz-apigw-id"]


@pytest.mark.parametrize("id", ['"', "\\", "a,b"])
def test_an_id_that_a_caller_chooses_breaks_no_answer(api: ApiClient, id: str) -> None:
    unknown = api("GET", "/nowhere", None, {"x-amzn-RequestId": id})

    assert (unknown.status, unknown.headers["x-amzn-requestid"]) == (403, id)
    assert unknown.json["request_id"] == unknown.headers["x-amz-apigw-id"]
