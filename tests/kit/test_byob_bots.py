"""byob.py init and check: a bot from the sample, tried on a local file before anything is built."""

import json
from pathlib import Path

import pytest

from tests.author import Answer, Kit, Recorder
from tests.slices import Endpoints
from tests.support import ApiClient

NOBODY = {"BYOB_URL": "http://127.0.0.1:9"}


@pytest.fixture
def bot(kit: Kit) -> Path:
    """Make a bot as `init` does, a sample for it, and an answer of its endpoint."""
    kit.run("init", "page-reader")
    kit.write(b"a page", "page.tiff")
    kit.write(b'{"words": ["hello"]}', "answer.json")
    return kit.directory / "page-reader"


def test_init_makes_a_bot_of_the_directorys_name(kit: Kit) -> None:
    ended = kit.run("init", "page-reader")

    made = kit.directory / "page-reader"
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert ended.code == 0
    assert json.loads((made / "bot_config.json").read_text())["name"] == "page-reader"
    assert files >= {
        "bot_config.json",
        *(f"bot_docker/{name}" for name in ("Dockerfile", "task.py", "requirements.txt")),
    }
    assert "write main_task in page-reader/bot_docker/task.py" in ended.err


def test_init_writes_over_nothing(kit: Kit, bot: Path) -> None:
    (bot / "bot_docker" / "task.py").write_text("my own work")

    ended = kit.run("init", "page-reader")

    assert (ended.code, ended.err) == (1, "Error: page-reader exists and is not empty: nothing was written\n")
    assert (bot / "bot_docker" / "task.py").read_text() == "my own work"


def test_init_refuses_a_name_that_no_bot_can_have(kit: Kit) -> None:
    ended = kit.run("init", "my bot")

    assert ended.code == 1
    assert "no bot can be named 'my bot'" in ended.err
    assert not (kit.directory / "my bot").exists()


def test_a_new_bot_passes_the_services_own_rules(kit: Kit, bot: Path, api: ApiClient) -> None:
    arguments = ("check", "page-reader", "--sample", "page.tiff", "--stub", "answer.json", "--json")

    ended = kit.run(*arguments, environment={"BYOB_URL": api.url})

    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["result"] == {"words": ["hello"]}
    assert told["configuration"]["would"] == "create"


def test_check_asks_the_service_to_validate_only(kit: Kit, bot: Path, service: Recorder) -> None:
    service.answers = [Answer(200, {"would": "create", "name": "page-reader", "endpoints": [], "checks": []})]

    ended = kit.run("check", "page-reader", "--sample", "page.tiff", "--stub", "answer.json")

    (asked,) = service.seen
    assert (asked.method, asked.path) == ("PUT", "/bots/page-reader?validate_only=true")
    assert asked.body == (bot / "bot_config.json").read_bytes()
    assert (ended.code, json.loads(ended.out.partition("Endpoint")[0])) == (0, {"words": ["hello"]})
    assert "page-reader/bot_config.json keeps the rules" in ended.err


def test_what_the_service_refuses_fails_the_check(kit: Kit, bot: Path, service: Recorder) -> None:
    errors = [{"pointer": "/file_types", "detail": "each starts with a dot"}]
    service.answers = [Answer(422, {"detail": "the configuration breaks 1 rule", "errors": errors})]

    ended = kit.run("check", "page-reader", "--sample", "page.tiff", "--stub", "answer.json")

    assert ended.code == 1
    assert "file_types: each starts with a dot" in ended.err


def test_a_service_that_cannot_be_asked_is_said_and_no_failure(kit: Kit, bot: Path) -> None:
    arguments = ("check", "page-reader", "--sample", "page.tiff", "--stub", "answer.json")

    ended = kit.run(*arguments, environment=NOBODY)

    assert (ended.code, json.loads(ended.out)) == (0, {"words": ["hello"]})
    assert "page-reader/bot_config.json was not checked: cannot reach http://127.0.0.1:9" in ended.err


def test_without_a_stub_the_endpoint_of_the_configuration_is_called(kit: Kit, bot: Path, endpoints: Endpoints) -> None:
    environment = {
        **NOBODY,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoints.url,
    }

    ended = kit.run("check", "page-reader", "--sample", "page.tiff", "--region", "eu-west-1", environment=environment)

    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == {"endpoint": "foo-autogluon-sagemaker-inference", "bytes": 6}


def test_a_main_task_that_fails_is_told_with_its_reason_and_place(kit: Kit, bot: Path, service: Recorder) -> None:
    (bot / "bot_docker" / "task.py").write_text(
        "def main_task(file_name):\n    print('looking')\n    return {}['page']\n"
    )

    ended = kit.run_failing("check", "page-reader", "--sample", "page.tiff", "--stub", "answer.json")

    assert (ended.code, ended.out) == (1, "")
    assert "Error: main_task fails on page.tiff: KeyError: 'page'\n" in ended.err
    assert 'task.py", line 3, in main_task' in ended.err
    assert "looking" in ended.err
    assert service.seen == []


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("check", "page-reader", "--sample", "page.png"), "page.png"),
        (("check", "page-reader", "--sample", "page.tiff", "--stub", "no.json"), "no.json"),
        (("check", "nothing", "--sample", "page.tiff"), "nothing/bot_config.json"),
    ],
)
def test_a_file_that_is_missing_is_named(kit: Kit, bot: Path, arguments: tuple[str, ...], missing: str) -> None:
    ended = kit.run(*arguments)

    assert ended.code == 1
    assert missing in ended.err
