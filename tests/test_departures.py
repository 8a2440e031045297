"""A removal that breaks off takes no bot's endpoint, and leaves none behind."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.bots.registry import BotRegistry, StoredBot
from shared.bots.remove import finish_departures, remove
from shared.endpoints.record import EndpointRecord, Observed, Status, Wanted
from shared.endpoints.records import EndpointRecords
from shared.errors import PreconditionFailedError, TriggerError
from shared.preconditions import Preconditions
from tests.proxies import SigningProxy
from tests.support import in_this_process

Make = Callable[..., dict[str, Any]]
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


class NoTrigger:
    def provision(self, *_: object) -> None:
        raise TriggerError("nobody there")


@pytest.fixture
def doors(
    signed_opensearch: SigningProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[BotRegistry, EndpointRecords]]:
    with in_this_process(signed_opensearch.url, "departures", monkeypatch, function="DeleteBot"):
        yield BotRegistry(), EndpointRecords()


@pytest.fixture
def bot(doors: tuple[BotRegistry, EndpointRecords], configuration: Make) -> dict[str, Any]:
    bots, endpoints = doors
    fields = configuration()
    bots.create(fields)
    layout = Wanted("layout:1", "", "ml.m5.large")
    endpoints.upsert(
        fields["endpoint_name"], lambda record: record.wishing(layout).seen(in_service(record, layout), NOW)
    )
    return fields


def in_service(record: EndpointRecord, wanted: Wanted) -> Observed:
    return Observed(Status.IN_SERVICE, wanted.artefact_name(record.name), managed=True)


def begin_removal(
    fields: dict[str, Any], preconditions: Preconditions, bots: BotRegistry, endpoints: EndpointRecords
) -> None:
    remove(
        fields["name"],
        preconditions,
        with_endpoints=True,
        has_jobs=lambda _: False,
        bots=bots,
        endpoints=endpoints,
        trigger=NoTrigger(),  # type: ignore[arg-type]
        correlation_id="",
    )


def test_a_removal_that_meets_a_newer_bot_takes_nothing(
    doors: tuple[BotRegistry, EndpointRecords], bot: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bots, endpoints = doors
    before = bots.get(bot["name"])
    look_up = endpoints.get_many
    changes: list[StoredBot] = []

    def changed_meanwhile(names: Iterable[str]) -> dict[str, EndpointRecord]:
        if not changes:
            changes.append(bots.replace({**bot, "bot_image": "newer:1"}, before.version))
        return look_up(names)

    monkeypatch.setattr(endpoints, "get_many", changed_meanwhile)
    with pytest.raises(PreconditionFailedError):
        begin_removal(bot, Preconditions(if_match=(f'"{before.version_tag}.x"',)), bots, endpoints)
    finish_departures(bots=bots, endpoints=endpoints, correlation_id="")

    record = endpoints.find(bot["endpoint_name"])
    assert record
    assert (record.present, record.needed, record.leaving) == (True, True, "")


def test_a_removal_that_broke_off_after_the_bot_was_gone_is_finished(
    doors: tuple[BotRegistry, EndpointRecords], bot: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bots, endpoints = doors
    monkeypatch.setattr("shared.bots.remove.let_go_of", lambda *_, **__: pytest.fail("the process ended before this"))
    with pytest.raises(pytest.fail.Exception):
        begin_removal(bot, Preconditions(), bots, endpoints)
    monkeypatch.undo()
    broken_off = endpoints.find(bot["endpoint_name"])

    finish_departures(bots=bots, endpoints=endpoints, correlation_id="")

    finished = endpoints.find(bot["endpoint_name"])
    assert broken_off
    assert (broken_off.present, broken_off.leaving) == (True, bot["name"])
    assert finished
    assert (finished.present, finished.leaving) == (False, "")
