"""`--template FILE`: hold another template to the same rules, as the test of the rules themselves does."""

from pathlib import Path

import pytest

from local import template


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--template", type=Path, default=template.TEMPLATE)


def pytest_configure(config: pytest.Config) -> None:
    template.TEMPLATE = config.getoption("--template")  # type: ignore[misc]
