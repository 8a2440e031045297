"""The same registration from a hundred callers at once, answers lost on both ways: one bot, one endpoint, no 409."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException
from typing import Any

import pytest

from local.stack import listen, stack
from tests.proxies import FaultProxy, SigningProxy
from tests.support import QUIET, ApiClient, Reply, at_once, eventually
from tests.torture.conftest import Torture

Make = Callable[..., dict[str, Any]]
CALLERS = 100
LISTINGS = (
    ("list_models", "Models", "ModelName"),
    ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
    ("list_endpoints", "Endpoints", "EndpointName"),
)
LOST_TO_CALLERS = 0.3
LOST_TO_HANDLERS = 0.1
# A run that got no answer while it took or gave back its lease keeps the endpoint from the next one for 150 s.
UNTIL_SETTLED_SECONDS = 180


@pytest.fixture
def before_node(signed_opensearch: SigningProxy) -> Iterator[FaultProxy]:
    with FaultProxy(signed_opensearch.url) as proxy:
        yield proxy


@pytest.fixture
def api(before_node: FaultProxy) -> Iterator[ApiClient]:
    own = {"INDEX_PREFIX": "duplicates", **QUIET}
    with stack(before_node.url, listen(0), extra=own, schedule_seconds=1) as running:
        yield ApiClient(running.url, running.aws_url)


def until_answered(api: ApiClient, bot: dict[str, Any], _: int) -> tuple[Reply, Counter[str]]:
    """Send it again as long as no answer comes, or one that says to."""
    seen: Counter[str] = Counter()
    while True:
        try:
            reply = api("POST", "/bots", bot)
        except (HTTPException, OSError):
            seen["lost"] += 1
            continue
        if reply.status != 503:
            return reply, seen
        assert int(reply.headers["retry-after"]) > 0
        seen["503"] += 1


def test_the_same_registration_a_hundred_times_at_once_is_one_bot_with_one_endpoint(
    before_node: FaultProxy, api: ApiClient, configuration: Make, torture: Torture
) -> None:
    count = torture.size(10, short=1)
    wrong: list[str] = []
    seen: Counter[str] = Counter()
    with FaultProxy(api.url) as before_gateway:
        unlucky = ApiClient(before_gateway.url)
        for number in range(count):
            bot = configuration(endpoint_name=f"unlucky-layout-{number}")
            before_gateway.at_random("drop", share=LOST_TO_CALLERS, seed=number)
            before_node.at_random("drop", share=LOST_TO_HANDLERS, seed=number)

            answered = at_once(CALLERS, partial(until_answered, unlucky, bot))

            before_node.forward()
            statuses = Counter(reply.status for reply, _ in answered)
            seen = sum((tried for _, tried in answered), seen)
            if not set(statuses) <= {200, 201} or statuses[201] > 1:
                wrong.append(f"{bot['name']} was answered {dict(statuses)}")
            wrong += [f"{bot['name']}: {what}" for what in too_many(api, bot)]
            torture.progress("bots", number + 1, count)

    torture.report(
        "duplicates",
        count * CALLERS,
        "callers answered",
        goal="one bot, one endpoint each, no 409",
        holds=not wrong and seen["lost"] > 0,
        note=f"{count} bots, {CALLERS} callers each; {seen['lost']} answers lost, {seen['503']} of 503, all sent again"
        + "".join(f"; {what}" for what in wrong[:3]),
    )


def too_many(api: ApiClient, bot: dict[str, Any]) -> list[str]:
    """Say what there is other than one bot in its configuration, and one model, config and endpoint in service."""
    state = eventually(
        lambda: api.endpoint_of(bot["name"]), lambda seen: seen["status"] == "InService", UNTIL_SETTLED_SECONDS
    )
    endpoint = bot["endpoint_name"]
    found = {"bots": [one["name"] for one in api("GET", f"/bots?endpoint_name={endpoint}").json["bots"]]}
    for operation, what, field in LISTINGS:
        pages = api.sagemaker.get_paginator(operation).paginate()
        # A model and a config are named after their endpoint and a hash.
        named = [one[field] for page in pages for one in page[what]]
        found[what] = [name for name in named if endpoint in (name, name.rpartition("-")[0])]
    wrong = [f"{kind} {names}" for kind, names in found.items() if len(names) != 1]
    if not state["managed"] or state["failure"]:
        wrong.append(f"endpoint {state}")
    return wrong
