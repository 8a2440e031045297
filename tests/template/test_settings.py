import ast
from collections.abc import Iterator

import pytest

from handlers.method_not_allowed import ALLOWED
from local.stack import environment_of
from local.template import ROOT, functions
from shared import settings
from shared.errors import SettingsError


@pytest.fixture
def _unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OPENSEARCH_URL", "AWS_REGION", "SAGEMAKER_ROLE_ARN", "OWNER_TAG"):
        monkeypatch.delenv(name, raising=False)
    settings.opensearch.cache_clear()
    yield
    settings.opensearch.cache_clear()


@pytest.mark.usefixtures("_unset")
def test_all_missing_settings_are_named_together() -> None:
    with pytest.raises(SettingsError, match="OPENSEARCH_URL, AWS_REGION"):
        settings.opensearch()


def test_only_settings_reads_the_environment() -> None:
    readers = [
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*.py")
        if any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]

    assert readers == ["shared/settings.py"]


def test_local_mode_gives_the_functions_the_variables_that_the_template_gives() -> None:
    in_template = frozenset().union(*(function.environment for function in functions().values()))

    assert in_template <= environment_of("http://127.0.0.1:9200", "http://127.0.0.1:5000").keys()


def test_the_methods_that_a_405_names_are_those_of_the_template() -> None:
    routes = [route for function in functions().values() for route in function.routes]
    refused = {route.path for route in routes if route.method == "ANY"}

    assert refused == {route.path for route in routes}
    assert {path: set(methods) for path, methods in ALLOWED.items()} == {
        path: {route.method for route in routes if route.path == path and route.method != "ANY"} for path in refused
    }
