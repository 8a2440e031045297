"""An emulated AWS to deploy into, the registry behind its domain, and the report of `make deploy-check`."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.aws import REGION
from local.opensearch import OpenSearchNode
from local.sagemaker import LocalSageMaker
from shared import access
from tests.deployment.emulator import Account, Emulator
from tests.deployment.stacks import Stack
from tests.support import ApiClient

_LINES = pytest.StashKey[list[str]]()
_accounts = itertools.count(210_000_000_001)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("ministack")) as emulator:
        yield emulator


@pytest.fixture(params=["eu-west-1"])
def account(emulator: Emulator, request: pytest.FixtureRequest) -> Account:
    """An account with nothing in it."""
    return Account(emulator.url, str(next(_accounts)), request.param)


@pytest.fixture
def stack(account: Account, node: OpenSearchNode) -> Iterator[Stack]:
    """A stack to be; bots and roles go with the domain, when that is really deleted."""
    registry = ApiClient(node.url)

    def forget() -> None:
        for path in ("/byob-*", *(f"/_plugins/_security/api/rolesmapping/{name}" for name in access.roles("byob"))):
            assert registry("DELETE", path).status in (200, 404)

    yield Stack(account, forget)
    forget()


@pytest.fixture
def sagemaker() -> Iterator[LocalSageMaker]:
    """The account's endpoints, of which none is in the way of another test's."""
    sagemaker = LocalSageMaker(REGION, moving_seconds=0)
    sagemaker.start()
    yield sagemaker
    sagemaker.stop()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say a line at the end of the run."""
    return request.config.stash.setdefault(_LINES, []).append


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = config.stash.get(_LINES, [])
    if lines:
        terminalreporter.section("deployed")
        for line in lines:
            terminalreporter.write_line(line)
