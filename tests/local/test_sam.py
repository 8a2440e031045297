"""The template that `sam local` is given, and by which address containers reach local mode."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import arns, sam
from local.hosts import EVERYWHERE, for_containers, moved, reachable
from local.identities import keys_of
from local.sam import NotBuiltError, write_template
from local.stack import environment_of
from local.template import functions

ADDRESS = "192.0.2.7"
ENVIRONMENT = environment_of("http://127.0.0.1:9200", "http://127.0.0.1:5000")


def written(tmp_path: Path, environment: dict[str, str]) -> Any:
    write_template(tmp_path / "out" / "sam.yaml", environment, ADDRESS)
    return yaml.safe_load((tmp_path / "out" / "sam.yaml").read_text())


def variables_of(document: Any, function: str) -> dict[str, str]:
    variables: dict[str, str] = document["Resources"][function]["Properties"]["Environment"]["Variables"]
    return variables


@pytest.mark.built
def test_functions_are_told_of_local_mode_by_an_address_that_works_in_a_container(tmp_path: Path) -> None:
    document = written(tmp_path, ENVIRONMENT)

    for function in functions():
        told = variables_of(document, function)
        assert (told["OPENSEARCH_URL"], told["AWS_ENDPOINT_URL"]) == (
            f"http://{ADDRESS}:9200",
            f"http://{ADDRESS}:5000",
        )
        assert told["AWS_REGION"] == "local-1"
        assert Path(document["Resources"][function]["Properties"]["CodeUri"], "handlers").is_dir()


@pytest.mark.built
def test_a_variable_that_the_template_does_not_give_a_function_is_not_given_here(tmp_path: Path) -> None:
    document = written(tmp_path, ENVIRONMENT)

    assert variables_of(document, "CreateBot")["PROVISION_FUNCTION"] == arns.alias("byob-ProvisionEndpoint")
    assert "PROVISION_FUNCTION" not in variables_of(document, "GetBot")


@pytest.mark.built
def test_keys_of_the_callers_own_are_not_written(tmp_path: Path) -> None:
    document = written(tmp_path, ENVIRONMENT | {"AWS_SECRET_ACCESS_KEY": "the-authors-own"})

    told = variables_of(document, "GetBot")
    assert "AWS_SECRET_ACCESS_KEY" not in told
    assert told["AWS_ACCESS_KEY_ID"] == keys_of("GetBotRole")["AWS_ACCESS_KEY_ID"]
    assert "the-authors-own" not in (tmp_path / "out" / "sam.yaml").read_text()


@pytest.mark.built
def test_every_route_is_there_once_and_any_is_the_methods_that_are_left(tmp_path: Path) -> None:
    document = written(tmp_path, ENVIRONMENT)

    events = [
        event["Properties"]
        for function in functions()
        for event in document["Resources"][function]["Properties"]["Events"].values()
        if event["Type"] == "Api"
    ]
    routes = [(event["Path"], event["Method"].upper()) for event in events]
    assert len(routes) == len(set(routes)) == 7 * len({path for path, _ in routes})


@pytest.mark.built
def test_the_architecture_is_the_one_that_was_built_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "build").mkdir()
    shutil.copy(sam.BUILD / "template.yaml", tmp_path / "build")
    noted = sam.BUILD.with_suffix(".toml").read_text()
    (tmp_path / "build.toml").write_text(noted.replace('"x86_64"', '"arm64"'))
    monkeypatch.setattr(sam, "BUILD", tmp_path / "build")

    assert written(tmp_path, ENVIRONMENT)["Parameters"]["Architecture"]["Default"] == "arm64"


def test_without_a_build_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam, "BUILD", tmp_path)

    with pytest.raises(NotBuiltError, match="run `make build` first"):
        written(tmp_path, ENVIRONMENT)


def test_one_address_is_told_to_everybody_and_all_addresses_are_not_an_address() -> None:
    assert (reachable(ADDRESS), for_containers(ADDRESS)) == (ADDRESS, ADDRESS)
    assert reachable(EVERYWHERE) == "127.0.0.1"
    assert for_containers(EVERYWHERE) not in (EVERYWHERE, "127.0.0.1")


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://127.0.0.1:9200", f"http://{ADDRESS}:9200"),
        ("https://localhost/path", f"https://{ADDRESS}/path"),
        ("https://search.example.org:443", "https://search.example.org:443"),
        ("byob", "byob"),
    ],
)
def test_only_what_names_loopback_is_moved(url: str, seen: str) -> None:
    assert moved(url, ADDRESS) == seen
