"""What an operator reads: one registration by one id, the metrics, and nothing secret."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
from botocore.credentials import Credentials

from local.aws import CREDENTIALS, REGION
from local.opensearch import OpenSearchNode
from local.sagemaker import Fault
from local.stack import LOGGING, Running, listen, stack
from shared import metrics
from tests.proxies import FaultProxy, SigningProxy
from tests.support import ApiClient, FunctionLog, Reply, eventually, recorded

Make = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Logged:
    """A stack of its own whose functions' log can be read."""

    api: ApiClient
    log: FunctionLog
    running: Running
    opensearch: FaultProxy

    def invoke(self, function: str, event: Mapping[str, Any]) -> str | None:
        """Have a function do its work; give Lambda's word for a failure, None where it did it."""
        client = boto3.client(
            "lambda",
            endpoint_url=self.running.aws_url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        failure: str | None = client.invoke(FunctionName=function, Payload=json.dumps(event)).get("FunctionError")
        return failure

    def run_schedule(self) -> None:
        assert self.invoke("ReconcileEndpoints", {"id": "the-schedule"}) is None

    def metrics_of(self, request_id: str, function: str) -> Any:
        """The line of metrics that ended an invocation of a function, as soon as it has."""

        def look() -> list[Any]:
            lines = [line for line in self.log.metrics if line["correlation_id"] == request_id]
            return [line for line in lines if line["function_name"] == function]

        return eventually(look, lambda found: len(found) > 0)[-1]


@contextmanager
def logged(opensearch_url: str, path: Path, **extra: str) -> Iterator[Logged]:
    environment = {**LOGGING, "INDEX_PREFIX": f"logs-{path.name}", **extra}
    with (
        FaultProxy(opensearch_url) as proxy,
        recorded(path / "functions.log") as log,
        stack(proxy.url, listen(0), workers=2, extra=environment, moving_seconds=0.3) as running,
    ):
        yield Logged(ApiClient(running.url, running.aws_url), log, running, proxy)


@pytest.fixture
def service(signed_opensearch: SigningProxy, tmp_path: Path) -> Iterator[Logged]:
    with logged(signed_opensearch.url, tmp_path) as service:
        yield service


def id_of(reply: Reply) -> str:
    return reply.headers["x-amzn-requestid"]


def in_service(api: ApiClient, name: str) -> None:
    eventually(lambda: api.endpoint_of(name), lambda seen: seen["status"] == "InService")


def told(lines: list[Any], function: str) -> list[str]:
    """What a function says, in order: its messages, each with the step that was carried out."""
    said = (line for line in lines if line["function_name"] == function)
    return [f"{line['message']}: {line['step']}" if "step" in line else line["message"] for line in said]


def test_one_id_tells_the_whole_story_of_a_registration(service: Logged, configuration: Make) -> None:
    invoice_reader = configuration()
    name, endpoint = invoice_reader["name"], invoice_reader["endpoint_name"]

    request_id = id_of(service.api.register(invoice_reader))
    lines = eventually(
        lambda: service.log.of(request_id),
        lambda found: {"endpoint in service", "run ended"} <= {line["message"] for line in found},
    )

    assert told(lines, "create_bot") == ["bot registered", "provisioning triggered", "request answered"]
    assert told(lines, "provision_endpoint")[:3] == [
        "step carried out: CreateModel",
        "step carried out: CreateEndpointConfig",
        "step carried out: CreateEndpoint",
    ]
    assert [line["bot"] for line in lines if line["message"] == "bot registered"] == [name]
    assert {line["endpoint"] for line in lines if "endpoint" in line} == {endpoint}
    (end,) = [line for line in lines if line["message"] == "endpoint in service"]
    assert end["seconds"] >= 0
    for line in lines:
        assert line["service"] == "byob"
        assert {"function_name", "function_request_id", "cold_start", "correlation_id"} <= line.keys()


def test_what_happens_to_an_endpoint_later_is_found_by_the_same_id(service: Logged, configuration: Make) -> None:
    invoice_reader = configuration()
    request_id = id_of(service.api.register(invoice_reader))
    in_service(service.api, invoice_reader["name"])

    service.running.sagemaker.set_state(invoice_reader["endpoint_name"], "Failed", reason="the disk is full")

    (failed,) = eventually(
        lambda: [line for line in service.log.of(request_id) if line["message"] == "endpoint failed"],
        lambda found: len(found) > 0,
    )
    assert (failed["function_name"], failed["reason"]) == ("record_endpoint", "the disk is full")
    assert failed["correlation_id"] != request_id


def test_a_deploy_is_followed_by_its_own_id(service: Logged, configuration: Make) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"
    registered = id_of(service.api.register(invoice_reader))
    in_service(service.api, invoice_reader["name"])
    service.api("PATCH", path, {"endpoint_ecr_image_path": "layout:4"})

    deployed = id_of(service.api("POST", f"{path}/deploy"))
    lines = eventually(
        lambda: service.log.of(deployed),
        lambda found: "endpoint in service" in [line["message"] for line in found],
    )

    # Whichever run carries it out: one of the registration may still hold the endpoint, and is told to look once more.
    assert {line["requested_by"] for line in lines if line.get("step") == "UpdateEndpoint"} == {deployed}
    assert registered not in {line.get("requested_by") for line in lines}


def test_what_sagemaker_refuses_is_told_with_its_code_and_counted(service: Logged, configuration: Make) -> None:
    invoice_reader = configuration()
    service.running.sagemaker.order(Fault.QUOTA, endpoint=invoice_reader["endpoint_name"])

    request_id = id_of(service.api.register(invoice_reader))
    counted = service.metrics_of(request_id, "provision_endpoint")

    (refused,) = [line for line in service.log.of(request_id) if line["message"] == "endpoint refused"]
    assert (refused["code"], refused["function_name"]) == ("ResourceLimitExceeded", "provision_endpoint")
    assert (counted["ProvisioningRefused"], counted["ProvisioningSteps"]) == ([1], [1, 1])
    assert "ProvisioningInService" not in counted


def test_an_answer_names_the_id_by_which_its_request_is_found(service: Logged) -> None:
    missing = service.api("GET", "/bots/nobody")
    own = service.api("GET", "/bots/nobody", headers={"X-Amzn-RequestId": 'mine"\\,{}' + "x" * 500})

    assert missing.json["request_id"] == id_of(missing)
    assert service.metrics_of(id_of(missing), "get_bot")["status"] == 404
    assert service.metrics_of(own.json["request_id"], "get_bot")["status"] == 404
    assert len(own.json["request_id"]) == 128


def test_registrations_are_counted_by_what_became_of_them(service: Logged, configuration: Make) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"

    created = service.api("POST", "/bots", invoice_reader)
    unchanged = service.api("POST", "/bots", invoice_reader)
    taken = service.api("POST", "/bots", {**invoice_reader, "bot_image": "newer:1"})
    replaced = service.api("PUT", path, {**invoice_reader, "bot_image": "newer:1"})
    invalid = service.api("POST", "/bots", configuration(instance_type="huge"))

    def counted(reply: Reply, function: str) -> dict[str, Any]:
        line = service.metrics_of(id_of(reply), function)
        names = ("RequestsFailed", "RegistrationsCreated", "RegistrationsReplaced", "RegistrationsUnchanged")
        return {name: line[name] for name in (*names, "RegistrationsRefused", "status") if name in line}

    fine = {"RequestsFailed": [0]}
    assert counted(created, "create_bot") == {**fine, "RegistrationsCreated": [1], "status": 201}
    assert counted(unchanged, "create_bot") == {**fine, "RegistrationsUnchanged": [1], "status": 200}
    assert counted(taken, "create_bot") == {**fine, "RegistrationsRefused": [1], "status": 409}
    assert counted(replaced, "update_bot") == {**fine, "RegistrationsReplaced": [1], "status": 200}
    assert counted(invalid, "create_bot") == {**fine, "RegistrationsRefused": [1], "status": 422}


def test_what_opensearch_does_is_measured_and_its_outage_counted(service: Logged, configuration: Make) -> None:
    invoice_reader = configuration()
    service.api.register(invoice_reader)
    path = f"/bots/{invoice_reader['name']}"

    well = service.metrics_of(id_of(service.api("GET", path)), "get_bot")
    service.opensearch.hang()
    slow = service.metrics_of(id_of(service.api("GET", path)), "get_bot")
    service.opensearch.answer(500, b"{}")
    broken = service.metrics_of(id_of(service.api("GET", path)), "get_bot")
    service.opensearch.forward()

    assert len(well["OpenSearchLatency"]) == 2
    assert all(latency > 0 for latency in well["OpenSearchLatency"])
    assert "OpenSearchUnavailable" not in well
    assert (well["RequestsFailed"], slow["RequestsFailed"], broken["RequestsFailed"]) == ([0], [1], [1])
    assert (slow["OpenSearchUnavailable"], broken["OpenSearchUnavailable"]) == ([1], [1])
    assert slow["OpenSearchLatency"][0] >= 5000  # the functions wait so long for OpenSearch


def test_a_run_that_fails_says_so_under_the_id_that_it_was_given(service: Logged) -> None:
    service.opensearch.refuse()

    failure = service.invoke("ProvisionEndpoint", {"endpoints": ["invoice-layout"], "correlation_id": "the-post"})

    (failed, ended) = service.log.of("the-post")
    assert failure == "Unhandled"
    assert (failed["message"], failed["level"]) == ("run failed", "ERROR")
    assert "OpenSearch cannot be reached" in failed["exception"]
    assert (ended["message"], ended["OpenSearchUnavailable"]) == ("run failed", [1])


def test_provisioning_is_counted_and_timed(service: Logged, configuration: Make) -> None:
    invoice_reader = configuration()

    request_id = id_of(service.api.register(invoice_reader))
    in_service(service.api, invoice_reader["name"])

    def sums() -> dict[str, list[float]]:
        names = ("ProvisioningSteps", "ProvisioningInService", "ProvisioningSeconds", "ProvisioningRefused")
        return {name: [value for line in service.log.metrics for value in line.get(name, [])] for name in names}

    found = eventually(sums, lambda seen: len(seen["ProvisioningInService"]) > 0 and len(seen["ProvisioningSteps"]) > 0)
    assert (found["ProvisioningSteps"], found["ProvisioningInService"]) == ([1, 1, 1], [1])
    assert found["ProvisioningRefused"] == []
    # The wish is noted in whole seconds.
    assert found["ProvisioningSeconds"][0] >= 0.3
    assert service.metrics_of(request_id, "provision_endpoint")["message"] == "run ended"


def test_the_schedule_tells_what_is_not_as_it_should_be_and_that_all_is_well(
    service: Logged, configuration: Make
) -> None:
    names = ("EndpointsFailed", "EndpointsGivenUp", "EndpointsUnsettled")
    stuck = configuration()

    service.run_schedule()
    before = service.metrics_of("the-schedule", "reconcile_endpoints")
    service.running.sagemaker.order(Fault.ACCESS_DENIED, endpoint=stuck["endpoint_name"], times=100)
    service.api.register(stuck)
    service.api.register(configuration(endpoint_ecr_image_path=""))
    eventually(lambda: service.api.endpoint_of(stuck["name"]), lambda seen: seen["failure"] is not None)
    service.run_schedule()
    after = service.metrics_of("the-schedule", "reconcile_endpoints")

    assert [before[name] for name in names] == [[0], [0], [0]]
    assert [after[name] for name in names] == [[1], [0], [1]]


def test_every_line_of_metrics_keeps_the_rules_of_the_format(service: Logged, configuration: Make) -> None:
    invoice_reader = configuration()
    refused = configuration()
    service.running.sagemaker.order(Fault.QUOTA, endpoint=refused["endpoint_name"])
    service.api.register(invoice_reader)
    service.api.register(refused)
    service.api("POST", "/bots", {})
    service.api("PATCH", f"/bots/{invoice_reader['name']}", {"bot_image": "newer:1"})
    service.api("DELETE", "/bots")
    service.run_schedule()
    in_service(service.api, invoice_reader["name"])
    service.api("GET", "/bots")

    known = {metric.name: metric.unit for metric in vars(metrics).values() if isinstance(metric, metrics.Metric)}
    functions = {"create_bot", "update_bot", "list_bots", "get_bot", "provision_endpoint", "reconcile_endpoints"}
    lines = eventually(
        lambda: service.log.metrics, lambda found: functions <= {line["function_name"] for line in found}
    )
    for line in lines:
        jsonschema.validate(line, EMBEDDED_METRIC_FORMAT)
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert (directive["Namespace"], directive["Dimensions"]) == ("BringYourOwnBot", [["service"]])
        assert line["service"] == "byob"
        for metric in directive["Metrics"]:
            assert known[metric["Name"]] == metric["Unit"]
            values = line[metric["Name"]]
            assert 0 < len(values) <= 100
            assert all(isinstance(value, int | float) for value in values)


PLANTED = "planted-secret"
SECRET_ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": f"{PLANTED}-key",
    "AWS_SESSION_TOKEN": f"{PLANTED}-token",
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDSECRET000",
    # Everything that our logger and those of the libraries would say.
    "POWERTOOLS_LOG_LEVEL": "DEBUG",
    "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
}
SECRET_HEADERS = {
    "Authorization": f"AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature={PLANTED}",
    "X-Amz-Security-Token": PLANTED,
    "Cookie": f"session={PLANTED}",
}


@pytest.mark.usefixtures("unrecorded")  # its functions call with keys that are planted
def test_nothing_secret_is_in_the_log_of_a_bots_life_however_much_of_it_fails(
    node: OpenSearchNode, tmp_path: Path, configuration: Make
) -> None:
    bot = configuration(
        es_url=f"https://reader:{PLANTED}@search.example.com",
        bot_image_cmd=f"task --token {PLANTED}",
    )
    path = f"/bots/{bot['name']}"
    cause = {"type": "mapper_parsing_exception", "reason": f"failed to parse field: '{PLANTED}'"}
    quoting = {"error": {**cause, "root_cause": [cause]}, "status": 400}
    planted = Credentials(*(SECRET_ENVIRONMENT[name] for name in CREDENTIALS))
    with (
        SigningProxy(node.url, planted, REGION) as proxy,
        logged(proxy.url, tmp_path, **SECRET_ENVIRONMENT) as service,
    ):
        opensearch = service.opensearch

        def send(method: str, path: str, body: object = None) -> int:
            return service.api(method, path, body, SECRET_HEADERS).status

        def send_all() -> set[int]:
            writes = {send("PUT", path, bot), send("PATCH", path, {"bot_image_cmd": f"again {PLANTED}"})}
            return writes | {send("GET", path), send("GET", "/bots"), send("POST", f"{path}/deploy")}

        assert send("POST", "/bots", {**bot, "token": PLANTED}) == 422
        assert send("POST", "/bots", {**bot, "bot_image_cmd": f"task '{PLANTED}"}) == 422
        assert send("POST", "/bots", f'{{"token": "{PLANTED}"'.encode()) == 400
        assert send("GET", f"/bots?filter={PLANTED}") == 400
        service.running.sagemaker.order(Fault.ACCESS_DENIED, endpoint=bot["endpoint_name"])
        assert send("POST", "/bots", bot) == 201
        eventually(lambda: service.api.endpoint_of(bot["name"]), lambda seen: seen["failure"] is not None)
        assert send_all() <= {200, 202}
        in_service(service.api, bot["name"])
        opensearch.answer(400, json.dumps(quoting).encode())
        assert send_all() == {500}
        opensearch.answer(500, json.dumps(quoting).encode())
        assert send_all() == {503}
        opensearch.answer(500, PLANTED.encode(), {"content-type": "text/plain"})
        assert send_all() == {503}
        opensearch.answer(200, f'{{"_source": "{PLANTED}", "hits": {{"hits": ["{PLANTED}"]}}}}'.encode())
        assert send_all() == {500}
        opensearch.answer(200, f'{{"_source": "{PLANTED}'.encode())
        assert send_all() == {503}
        opensearch.truncate()
        assert send_all() == {503}
        opensearch.reset_connections()
        assert send_all() == {503}
        opensearch.refuse()
        assert send_all() == {503}
        opensearch.hang()
        assert send("GET", path) == 503
        opensearch.forward()
        assert send("POST", f"{path}/deploy") == 202
        service.run_schedule()
        assert send("DELETE", f"{path}?delete_endpoint=true") == 204
        text = eventually(lambda: service.log.text, lambda text: "step carried out" in text)

    assert "[DEBUG]" in text
    assert text.count("Traceback") > 20
    assert "endpoint refused" in text
    assert PLANTED not in text
    assert SECRET_ENVIRONMENT["AWS_ACCESS_KEY_ID"] not in text
    assert "Signature=" not in text


def test_text_of_callers_forges_no_line(service: Logged, configuration: Make) -> None:
    forged = '{"message": "bot removed", "bot": "payroll"}'
    bot = configuration()

    service.api("POST", "/bots", bot, {"X-Amzn-RequestId": f"mine\t{forged}"})
    in_service(service.api, bot["name"])
    service.running.sagemaker.set_state(bot["endpoint_name"], "Failed", reason=f"so it was\n{forged}\r\n{forged}")
    (failed,) = eventually(lambda: [line for line in service.log.lines if line["message"] == "endpoint failed"], bool)

    assert failed["reason"].split("\n")[1].startswith(forged)
    assert "bot removed" not in [line["message"] for line in service.log.lines]


# CloudWatch user guide, "Specification: Embedded metric format": its schema, and that a document has no other members.
EMBEDDED_METRIC_FORMAT: Mapping[str, Any] = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_600_000_000_000, "maximum": 9_999_999_999_999},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": ["Count", "Seconds", "Milliseconds"]},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
