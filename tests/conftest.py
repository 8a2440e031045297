"""The real parts that tests run on: one OpenSearch node, a signature check before it, and the API over HTTP."""

import itertools
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.credentials import Credentials

from local.aws import CREDENTIALS, REGION
from local.opensearch import DEFAULT_CACHE, OpenSearchNode
from local.stack import Running, listen, stack
from local.template import role_arns
from tests.proxies import TESTER, FaultProxy, SigningProxy
from tests.support import ApiClient, map_roles

pytest_plugins = ["tests.rights.plugin"]

_numbers = itertools.count(1)

# A shell starts its background jobs with SIGINT ignored, and children inherit that; tests send it to theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearchNode]:
    """A node that decides as the domain does: its master is the role of MapRoles, besides what tests do themselves.

    Who asks it without any signature may look behind everything; who signs, only past `signed_opensearch`.
    """
    masters = (role_arns()["MapRolesRole"], TESTER)
    with OpenSearchNode(tmp_path_factory.mktemp("opensearch"), DEFAULT_CACHE, masters=masters) as node:
        yield node


@pytest.fixture(scope="session")
def signed_opensearch(
    node: OpenSearchNode, record_testsuite_property: Callable[[str, object], None]
) -> Iterator[SigningProxy]:
    """The node behind a check of every request's signature by botocore's signer, and with the roles mapped."""
    with SigningProxy(node.url, Credentials(*CREDENTIALS.values()), REGION) as proxy:
        map_roles(proxy.url, "byob")
        yield proxy
        record_testsuite_property("signed_requests_accepted", proxy.accepted)  # for --junitxml
        record_testsuite_property("signed_requests_refused", len(proxy.refused))
        assert proxy.refused == []


@pytest.fixture(scope="session")
def whole_stack(signed_opensearch: SigningProxy) -> Iterator[Running]:
    """What `api` speaks to, for a test that has something go wrong in AWS."""
    with stack(signed_opensearch.url, listen(0)) as running:
        yield running


@pytest.fixture(scope="session")
def api(whole_stack: Running) -> ApiClient:
    """The whole API over HTTP."""
    return ApiClient(whole_stack.url, whole_stack.aws_url)


@pytest.fixture(scope="session")
def fault_proxy(signed_opensearch: SigningProxy) -> Iterator[FaultProxy]:
    with FaultProxy(signed_opensearch.url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def _faulty_stack(fault_proxy: FaultProxy) -> Iterator[ApiClient]:
    extra = {"OPENSEARCH_TIMEOUT_SECONDS": "1"}
    with stack(fault_proxy.url, listen(0), workers=2, extra=extra) as running:
        yield ApiClient(running.url, running.aws_url)


@pytest.fixture
def faulty_api(_faulty_stack: ApiClient, fault_proxy: FaultProxy) -> Iterator[ApiClient]:
    """The API with `fault_proxy` between it and the node; a test orders the fault."""
    fault_proxy.forward()
    yield _faulty_stack
    fault_proxy.forward()


@pytest.fixture
def configuration() -> Callable[..., dict[str, Any]]:
    """Make a valid configuration under a name of its own; the fields given replace those of the example."""

    def make(**changes: Any) -> dict[str, Any]:
        number = next(_numbers)
        fields = {
            "name": f"invoice-reader-{number}",
            "file_types": ".pdf,.tiff",
            "bot_image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/invoice-reader:7",
            "endpoint_name": f"invoice-layout-{number}",
            "endpoint_ecr_image_path": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/invoice-layout:3",
            "instance_type": "ml.m5.large",
        }
        return {name: value for name, value in {**fields, **changes}.items() if value is not None}

    return make
