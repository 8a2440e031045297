"""The life of endpoints over HTTP, on a SageMaker whose states take time and that can be made to fail."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from local.sagemaker import Fault, LocalSageMaker
from local.stack import listen, stack
from tests.proxies import SigningProxy
from tests.support import ApiClient, eventually

Make = Callable[..., dict[str, Any]]
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def moving(signed_opensearch: SigningProxy) -> Iterator[tuple[ApiClient, LocalSageMaker]]:
    own = {
        "INDEX_PREFIX": "moving",
        "ALLOWED_INSTANCE_TYPES": "ml.m5.*,ml.g5.xlarge",
        "ALLOWED_IMAGE_REGISTRIES": "*.ecr.*",
    }
    with stack(signed_opensearch.url, listen(0), workers=2, extra=own, moving_seconds=0.3) as running:
        yield ApiClient(running.url, running.aws_url), running.sagemaker


@pytest.fixture
def api(moving: tuple[ApiClient, LocalSageMaker]) -> ApiClient:
    return moving[0]


@pytest.fixture
def sagemaker(moving: tuple[ApiClient, LocalSageMaker]) -> LocalSageMaker:
    return moving[1]


def settled(api: ApiClient, name: str, status: str = "InService") -> Any:
    return eventually(lambda: api.endpoint_of(name), lambda seen: seen["status"] == status)


def artefacts(api: ApiClient, endpoint: str) -> set[str]:
    """The models and endpoint configs made for an endpoint."""
    models = [model["ModelName"] for model in api.sagemaker.list_models(MaxResults=100)["Models"]]
    found = api.sagemaker.list_endpoint_configs(MaxResults=100)["EndpointConfigs"]
    configs = [config["EndpointConfigName"] for config in found]
    return {name for name in [*models, *configs] if name.startswith(f"{endpoint}-")}


def there(api: ApiClient) -> list[str]:
    return [endpoint["EndpointName"] for endpoint in api.sagemaker.list_endpoints(MaxResults=100)["Endpoints"]]


def test_missing_then_creating_then_in_service(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    api("GET", "/bots/nobody")  # the first read of all takes longer than the endpoint is Creating
    created = api.register(invoice_reader)
    seen = [created.json["endpoints"][0]["status"]]

    def look() -> str:
        status: str = api.endpoint_of(invoice_reader["name"])["status"]
        if status != seen[-1]:
            seen.append(status)
        return status

    eventually(look, lambda status: status == "InService")

    assert seen == ["Missing", "Creating", "InService"]


def test_a_quota_is_told_with_its_code_sentence_and_next_attempt(
    api: ApiClient, sagemaker: LocalSageMaker, configuration: Make
) -> None:
    invoice_reader = configuration()
    sagemaker.order(Fault.QUOTA, endpoint=invoice_reader["endpoint_name"], times=1)
    api.register(invoice_reader)

    refused = eventually(lambda: api.endpoint_of(invoice_reader["name"]), lambda seen: seen["failure"] is not None)

    assert refused["status"] == "Missing"
    assert refused["failure"]["code"] == "ResourceLimitExceeded"
    assert "service limit" in refused["failure"]["message"]
    pause = datetime.fromisoformat(refused["next_attempt_at"]) - datetime.fromisoformat(refused["observed_at"])
    assert 40 <= pause.total_seconds() <= 80
    assert api("POST", f"/bots/{invoice_reader['name']}/deploy").status == 202
    assert settled(api, invoice_reader["name"])["failure"] is None


def test_a_changed_configuration_is_tried_at_once_after_a_refusal(
    api: ApiClient, sagemaker: LocalSageMaker, configuration: Make
) -> None:
    invoice_reader = configuration()
    sagemaker.order(Fault.QUOTA, endpoint=invoice_reader["endpoint_name"], times=1)
    api.register(invoice_reader)
    eventually(lambda: api.endpoint_of(invoice_reader["name"]), lambda seen: seen["failure"] is not None)

    api("PATCH", f"/bots/{invoice_reader['name']}", {"instance_type": "ml.m5.xlarge"})

    assert settled(api, invoice_reader["name"])["failure"] is None


def test_a_creation_that_fails_on_the_way_is_told_with_its_reason(
    api: ApiClient, sagemaker: LocalSageMaker, configuration: Make
) -> None:
    invoice_reader = configuration()
    sagemaker.order(Fault.FAILURE, endpoint=invoice_reader["endpoint_name"], reason="the image does not answer pings")
    api.register(invoice_reader)

    failed = settled(api, invoice_reader["name"], "Failed")

    assert failed["failure"] == {"code": "EndpointFailed", "message": "the image does not answer pings"}
    assert failed["next_attempt_at"] is not None


def test_a_config_that_is_not_visible_yet_is_no_failure(
    api: ApiClient, sagemaker: LocalSageMaker, configuration: Make
) -> None:
    invoice_reader = configuration()
    sagemaker.order(Fault.CONFIG_NOT_VISIBLE, endpoint=invoice_reader["endpoint_name"], times=2)
    api.register(invoice_reader)

    assert settled(api, invoice_reader["name"])["failure"] is None


def test_deploy_rolls_and_removes_the_old_model_and_config_after_success(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    name, endpoint = invoice_reader["name"], invoice_reader["endpoint_name"]
    api.register(invoice_reader)
    settled(api, name)
    (old,) = artefacts(api, endpoint)
    api("PATCH", f"/bots/{name}", {"model_s3_path": "s3://models/layout-2.tar.gz"})
    assert api.endpoint_of(name)["outdated"] is True

    deployed = api("POST", f"/bots/{name}/deploy")

    assert deployed.status == 202
    (action,) = deployed.json["endpoints"]
    assert (action["name"], action["action"]) == (endpoint, "update")
    rolled = eventually(lambda: api.endpoint_of(name), lambda seen: seen["outdated"] is False)
    assert (rolled["status"], rolled["failure"]) == ("InService", None)
    (new,) = eventually(lambda: artefacts(api, endpoint), lambda left: len(left) == 1)
    assert new != old
    assert api.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"] == new
    assert api("POST", f"/bots/{name}/deploy").json["endpoints"][0]["action"] == "none"


def test_deploy_makes_an_endpoint_again_that_somebody_removed(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    name, endpoint = invoice_reader["name"], invoice_reader["endpoint_name"]
    api.register(invoice_reader)
    settled(api, name)
    api.sagemaker.delete_endpoint(EndpointName=endpoint)
    eventually(lambda: there(api), lambda found: endpoint not in found)

    api("POST", f"/bots/{name}/deploy")

    eventually(lambda: there(api), lambda found: endpoint in found)
    settled(api, name)


@pytest.mark.parametrize("reason", ["", "The primary container did not pass the ping health check."])
def test_a_silent_rollback_is_reported_as_a_failed_update(
    api: ApiClient, sagemaker: LocalSageMaker, configuration: Make, reason: str
) -> None:
    invoice_reader = configuration()
    name, endpoint = invoice_reader["name"], invoice_reader["endpoint_name"]
    api.register(invoice_reader)
    settled(api, name)
    (old,) = artefacts(api, endpoint)
    api("PATCH", f"/bots/{name}", {"endpoint_ecr_image_path": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/broken:1"})
    sagemaker.order(Fault.SILENT_ROLLBACK, endpoint=endpoint, reason=reason)

    api("POST", f"/bots/{name}/deploy")

    told = eventually(lambda: api.endpoint_of(name), lambda seen: seen["failure"] is not None)
    assert (told["status"], told["outdated"], told["failure"]["code"]) == ("InService", True, "UpdateFailed")
    assert reason in told["failure"]["message"]
    assert eventually(lambda: artefacts(api, endpoint), lambda left: len(left) == 1) == {old}


def test_a_failed_rollback_keeps_both_configs_and_can_be_deployed_again(
    api: ApiClient, sagemaker: LocalSageMaker, configuration: Make
) -> None:
    invoice_reader = configuration()
    name, endpoint = invoice_reader["name"], invoice_reader["endpoint_name"]
    api.register(invoice_reader)
    settled(api, name)
    api("PATCH", f"/bots/{name}", {"model_s3_path": "s3://models/layout-2.tar.gz"})
    sagemaker.order(Fault.ROLLBACK_FAILURE, endpoint=endpoint)
    api("POST", f"/bots/{name}/deploy")
    mixed = eventually(lambda: api.endpoint_of(name), lambda seen: seen["failure"] is not None)
    assert (mixed["status"], mixed["failure"]["code"]) == ("UpdateRollbackFailed", "UpdateFailed")
    assert len(artefacts(api, endpoint)) == 2

    api("POST", f"/bots/{name}/deploy")

    again = settled(api, name)
    assert (again["outdated"], again["failure"]) == (False, None)
    eventually(lambda: artefacts(api, endpoint), lambda left: len(left) == 1)


def test_an_endpoint_deleted_while_it_is_made_leaves_nothing_behind(
    signed_opensearch: SigningProxy, configuration: Make
) -> None:
    own = {"INDEX_PREFIX": "deleted"}
    invoice_reader = configuration()
    with stack(
        # Long enough to be caught at it on a busy machine.
        signed_opensearch.url,
        listen(0),
        workers=1,
        extra=own,
        moving_seconds=3,
        schedule_seconds=0.2,
    ) as running:
        api = ApiClient(running.url, running.aws_url)
        api.register(invoice_reader)
        eventually(lambda: api.endpoint_of(invoice_reader["name"]), lambda seen: seen["status"] == "Creating")

        assert api("DELETE", f"/bots/{invoice_reader['name']}?delete_endpoint=true").status == 204

        eventually(lambda: artefacts(api, invoice_reader["endpoint_name"]), lambda left: left == set())
        eventually(lambda: api.sagemaker.list_endpoints()["Endpoints"], lambda left: left == [])
        eventually(lambda: api("GET", "/endpoints").json["endpoints"], lambda left: left == [])


def test_an_endpoint_that_could_not_be_made_is_given_up_with_its_bot(
    signed_opensearch: SigningProxy, configuration: Make
) -> None:
    own = {"INDEX_PREFIX": "given-up"}
    invoice_reader = configuration()
    with stack(signed_opensearch.url, listen(0), workers=1, extra=own, schedule_seconds=0.2) as running:
        api = ApiClient(running.url, running.aws_url)
        running.sagemaker.order(Fault.QUOTA, endpoint=invoice_reader["endpoint_name"], times=1)
        api.register(invoice_reader)
        eventually(lambda: api.endpoint_of(invoice_reader["name"]), lambda seen: seen["failure"] is not None)

        assert api("DELETE", f"/bots/{invoice_reader['name']}").status == 204

        eventually(lambda: api("GET", "/endpoints").json["endpoints"], lambda left: left == [])
        assert artefacts(api, invoice_reader["endpoint_name"]) == set()
        assert api.sagemaker.list_endpoints()["Endpoints"] == []


@pytest.mark.parametrize("lost", ["trigger", "event", "both"])
def test_the_schedule_alone_brings_it_in_service(
    signed_opensearch: SigningProxy, configuration: Make, lost: str
) -> None:
    own = {"INDEX_PREFIX": f"lost-{lost}"}
    if lost != "event":
        own["AWS_ENDPOINT_URL_LAMBDA"] = NOBODY
    with stack(
        signed_opensearch.url,
        listen(0),
        workers=1,
        extra=own,
        moving_seconds=0.3,
        schedule_seconds=0.3,
        events=lost == "trigger",
    ) as running:
        api = ApiClient(running.url, running.aws_url)
        name = api.register(configuration()).json["name"]

        assert settled(api, name)["failure"] is None


def test_endpoints_are_listed_with_who_uses_them(api: ApiClient, configuration: Make) -> None:
    first, second, gone = configuration(), configuration(), configuration()
    shared = first["endpoint_name"]
    second["endpoint_name"] = f"{shared.upper()},{second['endpoint_name']}"
    second["endpoint_ecr_image_path"] += "," + second["endpoint_ecr_image_path"]
    for bot in (first, gone, second):
        api.register(bot)
    for name in (first["name"], gone["name"]):
        settled(api, name)
    api("DELETE", f"/bots/{gone['name']}")

    def everything(parameters: str) -> dict[str, Any]:
        listed, token = [], ""
        while token is not None:
            page = api("GET", f"/endpoints?limit=2{parameters}" + (f"&next_token={token}" if token else "")).json
            assert len(page["endpoints"]) <= 2
            listed += page["endpoints"]
            token = page["next_token"]
        return {endpoint["name"]: endpoint for endpoint in listed}

    endpoints, unused = everything(""), everything("&unused=true")

    assert endpoints[shared]["bots"] == sorted([first["name"], second["name"]])
    assert endpoints[shared]["managed"] is True
    assert endpoints[shared]["instance_type"] == "ml.m5.large"
    assert endpoints[shared]["since"]
    assert unused.keys() & {shared, gone["endpoint_name"]} == {gone["endpoint_name"]}
    assert unused == {name: endpoint for name, endpoint in endpoints.items() if not endpoint["bots"]}
    assert api("GET", "/endpoints?unused=maybe&limit=0").pointers == ["/unused", "/limit"]


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("instance_type", "ml.p4d.24xlarge", "ml.m5.*, ml.g5.xlarge"),
        ("endpoint_ecr_image_path", "docker.io/somebody/layout:1", "*.ecr.*"),
    ],
)
def test_what_the_platform_does_not_allow_is_refused_at_registration(
    api: ApiClient, configuration: Make, field: str, value: str, allowed: str
) -> None:
    invoice_reader = configuration(**{field: value})

    refused = api("POST", "/bots", invoice_reader)

    assert (refused.status, refused.pointers) == (422, [f"/{field}"])
    assert refused.json["errors"][0]["detail"].endswith(f"allowed: {allowed}")
    assert api("GET", f"/bots/{invoice_reader['name']}").status == 404
    assert api("POST", "/bots", configuration(instance_type=value, endpoint_ecr_image_path="")).status in (201, 422)


def test_validate_only_says_what_would_be_done_and_writes_nothing(api: ApiClient, configuration: Make) -> None:
    image = "123456789012.dkr.ecr.local-1.amazonaws.com/layout:3"
    invoice_reader = configuration(endpoint_ecr_image_path=image, model_s3_path="s3://no-such-models/layout.tar.gz")
    name = invoice_reader["name"]

    rehearsed = api("POST", "/bots?validate_only=true", invoice_reader)

    assert rehearsed.status == 200
    assert (rehearsed.json["would"], rehearsed.json["name"]) == ("create", name)
    assert [endpoint["action"] for endpoint in rehearsed.json["endpoints"]] == ["create"]
    checks = {check["subject"]: check["ok"] for check in rehearsed.json["checks"]}
    assert checks == {
        "/endpoint_ecr_image_path": False,
        "/instance_type": True,
        "/model_s3_path": False,
        "role": True,
    }
    assert api("GET", f"/bots/{name}").status == 404
    assert api("PUT", f"/bots/{name}?validate_only=true", {**invoice_reader, "file_types": "pdf"}).status == 422


def test_validate_only_of_a_change_and_of_a_deploy(api: ApiClient, configuration: Make) -> None:
    invoice_reader = configuration()
    path = f"/bots/{invoice_reader['name']}"
    etag = api.register(invoice_reader).etag
    settled(api, invoice_reader["name"])

    nothing = api("PUT", f"{path}?validate_only=true", invoice_reader)
    replaced = api("PATCH", f"{path}?validate_only=true", {"bot_image_cmd": "--fast"})
    conflict = api("POST", "/bots?validate_only=true", {**invoice_reader, "bot_image": "other:1"})
    stale = api("PUT", f"{path}?validate_only=true", invoice_reader, {"If-Match": '"9999-1"'})
    rehearsed = api("POST", f"{path}/deploy?validate_only=true")

    assert (nothing.json["would"], replaced.json["would"]) == ("nothing", "replace")
    assert (conflict.status, stale.status, rehearsed.status) == (409, 412, 200)
    assert rehearsed.json["endpoints"][0]["action"] == "none"
    assert api("GET", path).etag.partition(".")[0] == etag.partition(".")[0]
    assert api("POST", "/bots/nobody/deploy").status == 404
