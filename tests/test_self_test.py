"""The self-test: a step for each thing that can be wrong with a deployment, each made to fail here."""

import json
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import boto3
import pytest
from moto import mock_aws

from handlers.method_not_allowed import ALLOWED
from local import arns, events, samples
from local.identities import keys_of
from local.self_test import SelfTestError, ask, show
from local.stack import Running
from local.template import ROOT, functions
from shared import VERSION, opensearch
from shared.endpoints.sagemaker import SageMaker
from shared.functions import Functions
from shared.jobs.batch import Batch
from shared.jobs.objects import Objects
from shared.probes import PROBES
from shared.self_test import self_test
from tests.support import ApiClient, forget_settings
from tools.preflight.deployment import read
from tools.self_test import function_of

NOWHERE: Final = "http://127.0.0.1:9"
OPENSEARCH: Final = {
    "OpenSearch: answer",
    "OpenSearch: write a marker",
    "OpenSearch: read the marker",
    "OpenSearch: search the marker",
    "OpenSearch: delete the marker",
}
Walk = Callable[..., dict[str, Any]]


@pytest.fixture
def walk(whole_stack: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Walk]:
    """Test the stack from this process, with some of the environment changed."""
    events.make_buckets(ApiClient(whole_stack.url, whole_stack.aws_url).aws("s3"))

    def walk(bucket: str | None = "media", milliseconds: int = 300_000, **changes: str) -> dict[str, Any]:
        for name, value in {
            **whole_stack.environment,
            **keys_of("SelfTestRole"),
            **changes,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the keys of who used it first
        forget_settings()
        opensearch.client.cache_clear()
        return self_test(
            bucket,
            str(uuid.uuid4()),
            functions=Functions(),
            sagemaker=SageMaker(),
            batch=Batch(),
            objects=Objects(),
            milliseconds_left=lambda: milliseconds,
        )

    yield walk
    forget_settings()
    opensearch.client.cache_clear()


def failed(report: Mapping[str, Any]) -> dict[str, str]:
    """Give the steps that failed, with their codes."""
    return {step["name"]: step["code"] for step in report["steps"] if step["ok"] is False}


def functions_but(id: str, name: str) -> str:
    """Name all functions, one of them otherwise."""
    return ",".join(f"{each}={arns.alias(arns.named(name if each == id else each))}" for each in functions())


def test_where_all_is_well_no_step_fails_and_the_report_says_of_what(walk: Walk) -> None:
    report = walk()

    assert failed(report) == {}
    assert report["ok"] is True
    assert report["versions"] == {
        "product": VERSION,
        "python": report["versions"]["python"],
        "opensearch": "2.19.3",
        "region": "local-1",
        "configuration": "local",
    }
    assert {step["name"] for step in report["steps"]} > OPENSEARCH
    assert all(step["ok"] is True for step in report["steps"])


def test_a_second_walk_finds_nothing_of_the_first(walk: Walk) -> None:
    walk()

    assert failed(walk()) == {}
    assert opensearch.client().count(index="byob-self-test")["count"] == 0


def test_a_walk_registers_and_starts_nothing(walk: Walk, api: ApiClient) -> None:
    def seen() -> list[Any]:
        return [api("GET", path).json for path in ("/bots", "/jobs", "/endpoints")]

    before = seen()
    walk()

    assert seen() == before


def test_a_registry_that_is_away_fails_its_steps_and_no_other(walk: Walk) -> None:
    assert failed(walk(OPENSEARCH_URL=NOWHERE)) == dict.fromkeys(OPENSEARCH, "registry-unavailable")


@pytest.mark.parametrize(
    ("service", "step"),
    [
        ("SAGEMAKER", "SageMaker: list endpoints"),
        ("BATCH", "Batch: the job queue"),
        ("S3", "S3: the bucket"),
    ],
)
def test_a_service_that_is_away_fails_its_step_and_no_other(walk: Walk, service: str, step: str) -> None:
    assert failed(walk(**{f"AWS_ENDPOINT_URL_{service}": NOWHERE})).keys() == {step}


def test_a_queue_that_is_not_there_fails_its_step(walk: Walk) -> None:
    report = walk(JOB_QUEUE_ARN="arn:aws:batch:local-1:123456789012:job-queue/gone")

    assert failed(report) == {"Batch: the job queue": "JobCannotRunError"}


def test_a_bucket_that_is_not_there_fails_its_step(walk: Walk) -> None:
    report = walk(bucket="nobodys-bucket")

    assert failed(report) == {"S3: the bucket": "JobCannotRunError"}


def test_without_a_bucket_none_is_looked_at_and_nothing_fails(walk: Walk) -> None:
    report = walk(bucket=None)

    assert report["ok"] is True
    assert [step["name"] for step in report["steps"] if step["ok"] is None] == ["S3: the bucket"]


@pytest.mark.usefixtures("unrecorded")
@pytest.mark.parametrize("id", [probe.function for probe in PROBES] + ["MapRoles", "ProvisionEndpoint"])
def test_a_function_that_cannot_be_invoked_fails_its_step_and_no_other(walk: Walk, id: str) -> None:
    report = walk(FUNCTIONS=functions_but(id, "Gone"))

    ((name, code),) = failed(report).items()
    assert name.startswith(f"{id}: ") or name == id
    assert code == "ResourceNotFoundException"


@pytest.mark.usefixtures("unrecorded")
def test_a_function_that_answers_otherwise_is_quoted(walk: Walk) -> None:
    report = walk(FUNCTIONS=functions_but("ListBots", "GetJob"))

    (step,) = [step for step in report["steps"] if step["ok"] is False]
    assert (step["name"], step["code"]) == ("ListBots: GET /bots?limit=1", "Status400")
    assert "the query parameters are not those of this call" in step["detail"]


@pytest.mark.usefixtures("unrecorded")
def test_a_function_that_fails_is_told_by_the_kind_of_its_failure(walk: Walk) -> None:
    report = walk(FUNCTIONS=functions_but("MapRoles", "CheckJobEndpoints"))

    assert failed(report) == {"MapRoles": "KeyError"}


@pytest.mark.usefixtures("unrecorded")
def test_a_function_that_is_not_named_is_a_mistake_of_the_deployment(walk: Walk) -> None:
    report = walk(FUNCTIONS="MapRoles=MapRoles")

    assert set(failed(report).values()) == {"SettingsError"}


def test_without_time_the_rest_is_said_to_be_left(walk: Walk) -> None:
    report = walk(milliseconds=40_000)

    assert set(failed(report).values()) == {"OutOfTime"}
    assert len(failed(report)) == len(report["steps"])


def test_a_report_holds_no_account_and_no_key(walk: Walk) -> None:
    text = json.dumps(walk(JOB_QUEUE_ARN="arn:aws:batch:local-1:123456789012:job-queue/gone"))

    assert "<account>" in text
    assert "123456789012" not in text
    assert "local-secret-key" not in text


def test_every_path_of_the_api_is_asked() -> None:
    asked = {(probe.method, probe.resource) for probe in PROBES if probe.status != 405}

    assert asked | {("PUT", "/bots/{name}")} == {  # PUT is PATCH's function
        (method, path) for path, methods in ALLOWED.items() for method in methods
    }


def test_probes_are_events_as_the_gateway_makes_them() -> None:
    real = events.sample("create_bot")

    for probe in PROBES:
        event = probe.event("nobody", "an-id")
        assert event.keys() == real.keys()
        assert event["requestContext"].keys() <= real["requestContext"].keys()
        assert not {"{", "}"} & set(event["path"])


def test_every_function_behind_the_api_is_asked() -> None:
    assert {probe.function for probe in PROBES} == {id for id, function in functions().items() if function.routes}


def test_the_version_is_the_packages() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_a_stack_tests_itself_when_it_is_invoked(
    whole_stack: Running, api: ApiClient, capsys: pytest.CaptureFixture[str]
) -> None:
    samples.provide(api.aws("s3"))

    report = ask(api.aws("lambda"), "SelfTest", samples.BUCKET)

    assert show(report)
    shown = capsys.readouterr().out
    assert shown.count("\nok ") + shown.startswith("ok ") == len(report["steps"])
    assert f"product {VERSION}" in shown


# ---- Of what is deployed ----
@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with mock_aws():
        yield boto3.client("cloudformation", "eu-west-1")


def stack_with(outputs: Mapping[str, Any]) -> str:
    return json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": outputs})


def test_the_function_of_a_deployed_stack_is_found_by_its_output(cloudformation: Any) -> None:
    body = stack_with({"SelfTestFunction": {"Value": "byob-SelfTest-1:live"}})
    cloudformation.create_stack(StackName="byob", TemplateBody=body)

    assert function_of(read()) == "byob-SelfTest-1:live"


def test_a_stack_that_cannot_test_itself_is_said_to_be_so(cloudformation: Any) -> None:
    with pytest.raises(SelfTestError, match="does not exist"):
        function_of(read())

    cloudformation.create_stack(StackName="byob", TemplateBody=stack_with({}))

    with pytest.raises(SelfTestError, match="no output SelfTestFunction"):
        function_of(read())


def test_a_self_test_that_gives_no_report_is_an_error(api: ApiClient) -> None:
    with pytest.raises(SelfTestError, match="could not be invoked"):
        ask(api.aws("lambda"), "Gone", None)
    with pytest.raises(SelfTestError, match="failed by itself"):
        ask(api.aws("lambda"), "CheckJobEndpoints", None)


def test_a_step_that_failed_is_shown_with_its_reason(walk: Walk, capsys: pytest.CaptureFixture[str]) -> None:
    assert not show(walk(bucket="nobodys-bucket"))

    assert "there is no bucket named 'nobodys-bucket'" in capsys.readouterr().out
