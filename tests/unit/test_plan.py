"""Every state of an endpoint, crossed with what is wanted and whose it is: each has one defined plan."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.endpoints.plan import (
    CreateEndpoint,
    CreateEndpointConfig,
    CreateModel,
    DeleteEndpoint,
    DeleteEndpointConfig,
    DeleteModel,
    Step,
    UpdateEndpoint,
    is_settled,
    plan,
    serves_already,
)
from shared.endpoints.record import EndpointRecord, Observed, Status, Wanted

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
LAYOUT = Wanted("layout:3", "s3://models/layout.tar.gz", "ml.m5.large")
ENDPOINT = "invoice-layout"
NEW = LAYOUT.artefact_name(ENDPOINT)
OLD = replace(LAYOUT, image="layout:2").artefact_name(ENDPOINT)

WAIT: tuple[Step, ...] = ()
LEAVE: tuple[Step, ...] = ()
MAKE = (CreateModel(NEW, LAYOUT), CreateEndpointConfig(NEW, LAYOUT), CreateEndpoint(ENDPOINT, NEW))
ROLL = (CreateModel(NEW, LAYOUT), CreateEndpointConfig(NEW, LAYOUT), UpdateEndpoint(ENDPOINT, NEW))
REMOVE = (DeleteEndpoint(ENDPOINT),)
DROP_OLD = (DeleteEndpointConfig(OLD), DeleteModel(OLD))
DROP_NEW = (DeleteEndpointConfig(NEW), DeleteModel(NEW))

# For an endpoint of ours, whose record knows of two models and configs, OLD and NEW:
#   status, (present: runs NEW, runs OLD, runs OLD and deploy asked for NEW), absent
TABLE: dict[Status, tuple[tuple[Step, ...], tuple[Step, ...], tuple[Step, ...], tuple[Step, ...]]] = {
    Status.IN_SERVICE: (DROP_OLD, DROP_NEW, ROLL, REMOVE),
    Status.OUT_OF_SERVICE: (DROP_OLD, DROP_NEW, ROLL, REMOVE),
    Status.UPDATE_ROLLBACK_FAILED: (LEAVE, LEAVE, ROLL, REMOVE),
    Status.FAILED: (REMOVE, REMOVE, REMOVE, REMOVE),
    Status.CREATING: (WAIT, WAIT, WAIT, WAIT),
    Status.UPDATING: (WAIT, WAIT, WAIT, WAIT),
    Status.SYSTEM_UPDATING: (WAIT, WAIT, WAIT, WAIT),
    Status.ROLLING_BACK: (WAIT, WAIT, WAIT, WAIT),
    Status.DELETING: (WAIT, WAIT, WAIT, WAIT),
    Status.MISSING: ((*MAKE, *DROP_OLD),) * 3 + ((*DROP_OLD, *DROP_NEW),),
    Status.UNKNOWN: (WAIT, WAIT, WAIT, WAIT),
}


def ours(status: Status, config_name: str = NEW) -> EndpointRecord:
    return EndpointRecord(
        ENDPOINT, wanted=LAYOUT, managed=True, status=status, config_name=config_name, artefacts=(OLD, NEW)
    )


def test_every_state_is_in_the_table() -> None:
    assert TABLE.keys() == set(Status)


@pytest.mark.parametrize("status", Status)
def test_an_endpoint_of_ours(status: Status) -> None:
    runs_new, runs_old, asked_to_roll, absent = TABLE[status]

    assert plan(ours(status)) == runs_new
    assert plan(ours(status, OLD)) == runs_old
    assert plan(replace(ours(status, OLD), roll_to=NEW)) == asked_to_roll
    assert plan(replace(ours(status), present=False)) == absent


@pytest.mark.parametrize(
    ("status", "present", "wanted", "roll_to"),
    list(itertools.product(set(Status) - {Status.MISSING}, [True, False], [LAYOUT, None], ["", NEW])),
)
def test_an_endpoint_that_is_not_ours_is_left_alone(
    status: Status, present: bool, wanted: Wanted | None, roll_to: str
) -> None:
    theirs = EndpointRecord(
        ENDPOINT, wanted=wanted, present=present, status=status, config_name="theirs", roll_to=roll_to
    )

    assert plan(theirs) == ()


@pytest.mark.parametrize("status", [Status.IN_SERVICE, Status.FAILED, Status.UPDATE_ROLLBACK_FAILED])
def test_what_we_made_for_an_endpoint_that_somebody_else_made_first_is_removed(status: Status) -> None:
    theirs = EndpointRecord(ENDPOINT, wanted=LAYOUT, status=status, config_name=OLD, artefacts=(OLD, NEW))

    assert plan(theirs) == DROP_NEW


def test_an_endpoint_that_the_author_runs_is_never_made() -> None:
    assert plan(EndpointRecord(ENDPOINT, status=Status.MISSING)) == ()


def test_what_no_bot_needs_is_neither_made_nor_removed() -> None:
    assert plan(replace(ours(Status.MISSING), needed=False)) == (*DROP_OLD, *DROP_NEW)
    assert plan(replace(ours(Status.IN_SERVICE), needed=False, artefacts=(NEW,))) == ()
    assert plan(replace(ours(Status.FAILED), needed=False, artefacts=(NEW,))) == ()


def test_a_roll_that_sagemaker_has_accepted_is_not_asked_for_again() -> None:
    accepted = replace(ours(Status.IN_SERVICE, OLD), roll_to=NEW, rolled_from="before", modified_at="before")

    assert plan(accepted) == ()
    assert not is_settled(accepted)


def test_a_roll_to_what_is_no_longer_wanted_is_not_begun() -> None:
    other = replace(LAYOUT, image="layout:9")

    assert plan(replace(ours(Status.IN_SERVICE, OLD), wanted=other, roll_to=NEW)) == ()


@pytest.mark.parametrize("status", Status)
def test_what_moves_or_has_steps_left_is_not_settled(status: Status) -> None:
    record = ours(status)

    assert is_settled(record) == (not plan(record) and TABLE[status] != (WAIT,) * 4)
    assert not is_settled(replace(record, present=False))


def test_an_endpoint_seen_in_service_lately_needs_no_look_to_be_named_again() -> None:
    seen = replace(ours(Status.IN_SERVICE), artefacts=(NEW,)).seen(Observed(Status.IN_SERVICE, NEW, managed=True), NOW)
    theirs = EndpointRecord(ENDPOINT).seen(Observed(Status.IN_SERVICE, "theirs"), NOW)

    assert serves_already(seen, LAYOUT, NOW + timedelta(minutes=4))
    assert serves_already(seen, None, NOW)  # a bot that leaves it to another one what the endpoint is made of
    assert serves_already(theirs, None, NOW)


@pytest.mark.parametrize("status", set(Status) - {Status.IN_SERVICE})
def test_an_endpoint_in_any_other_state_is_looked_at(status: Status) -> None:
    record = replace(ours(status), artefacts=(NEW,), observed_at="2026-11-24T09:30:00Z")

    assert not serves_already(record, LAYOUT, NOW)


@pytest.mark.parametrize(
    ("record", "wanted", "minutes"),
    [
        (ours(Status.IN_SERVICE), LAYOUT, 6),
        (ours(Status.IN_SERVICE), replace(LAYOUT, image="layout:4"), 0),
        (replace(ours(Status.IN_SERVICE), leaving="invoice-reader"), LAYOUT, 0),
        (replace(ours(Status.IN_SERVICE), needed=False), LAYOUT, 0),
        (replace(ours(Status.IN_SERVICE), present=False), LAYOUT, 0),
        (replace(ours(Status.IN_SERVICE), leased_until="2026-11-24T09:31:00Z"), LAYOUT, 0),
        (replace(ours(Status.IN_SERVICE, OLD), roll_to=NEW), LAYOUT, 0),
    ],
)
def test_a_look_is_due_where_it_was_long_ago_or_anything_is_left(
    record: EndpointRecord, wanted: Wanted, minutes: int
) -> None:
    seen = replace(record, artefacts=(record.config_name,), observed_at="2026-11-24T09:30:00Z")

    assert not serves_already(seen, wanted, NOW + timedelta(minutes=minutes))


def test_names_of_different_content_differ_and_have_63_characters_at_most() -> None:
    long = "l" * 63
    variants = [
        replace(LAYOUT, image="layout:4"),
        replace(LAYOUT, model_data=""),
        replace(LAYOUT, instance_type="ml.g5.xlarge"),
    ]

    names = {wanted.artefact_name(long) for wanted in [LAYOUT, *variants]}

    assert len(names) == 4
    assert {len(name) for name in names} == {63}
    assert LAYOUT.artefact_name(long) == replace(LAYOUT).artefact_name(long)


def test_in_service_with_the_config_before_is_a_failed_update() -> None:
    rolling = replace(ours(Status.UPDATING, OLD), roll_to=NEW, rolled_from="9:00", modified_at="9:01")

    back = rolling.seen(Observed(Status.IN_SERVICE, OLD, managed=True, modified_at="9:05"), NOW)

    assert back.failure
    assert back.failure.code == "UpdateFailed"
    assert OLD in back.failure.message
    assert NEW in back.failure.message
    assert plan(back) == DROP_NEW


def test_a_look_that_is_older_than_the_update_judges_nothing() -> None:
    rolling = replace(ours(Status.IN_SERVICE, OLD), roll_to=NEW, rolled_from="9:00", modified_at="9:00")

    stale = rolling.seen(Observed(Status.IN_SERVICE, OLD, managed=True, modified_at="9:00"), NOW)

    assert stale.failure is None
    assert plan(stale) == ()


def test_the_news_of_a_failed_update_stay_until_something_changes() -> None:
    rolling = replace(ours(Status.UPDATING, OLD), roll_to=NEW, rolled_from="9:00", modified_at="9:01")
    seen = Observed(Status.IN_SERVICE, OLD, managed=True, failure_reason="health check", modified_at="9:05")
    back = rolling.seen(seen, NOW)

    again = back.seen(seen, NOW)
    changed = again.wishing(replace(LAYOUT, image="layout:4"))

    assert again.failure == back.failure
    assert again.failure
    assert "health check" in again.failure.message
    assert changed.failure is None


def test_a_failed_endpoint_counts_once_however_often_it_is_seen() -> None:
    creating = ours(Status.CREATING)
    seen = Observed(Status.FAILED, NEW, managed=True)

    once = creating.seen(seen, NOW)
    twice = once.seen(seen, NOW)

    assert (once.attempts, twice.attempts) == (1, 1)
    assert once.failure
    assert once.failure.code == "EndpointFailed"
    assert once.failure.message  # SageMaker may give no reason
    assert once.next_attempt_at
    assert not once.is_due(NOW)


def test_pauses_grow_differ_by_endpoint_and_end_after_a_limit() -> None:
    def pauses(name: str) -> list[float]:
        record, found = EndpointRecord(name, wanted=LAYOUT), []
        while not record.given_up:
            record = record.refused("ResourceLimitExceeded", "the quota is 0", NOW)
            if record.next_attempt_at:
                found.append((datetime.fromisoformat(record.next_attempt_at) - NOW).total_seconds())
        assert record.failure
        assert "deploy starts afresh" in record.failure.message
        assert record.next_attempt_at is None
        return found

    layout, tables = pauses(ENDPOINT), pauses("tables")

    assert len(layout) == 23
    assert 45 <= layout[0] <= 75
    assert all(later > earlier for earlier, later in itertools.pairwise(layout[:5]))
    assert max(layout) <= 75 * 60
    assert layout != tables


def test_a_changed_wish_starts_afresh() -> None:
    refused = EndpointRecord(ENDPOINT, wanted=LAYOUT).refused("ResourceLimitExceeded", "the quota is 0", NOW)

    same = refused.wishing(LAYOUT)
    changed = refused.wishing(replace(LAYOUT, instance_type="ml.t3.large"))

    assert same == refused
    assert (changed.attempts, changed.failure, changed.next_attempt_at) == (0, None, None)
