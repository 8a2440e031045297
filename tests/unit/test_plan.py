from dataclasses import replace

import pytest

from shared.endpoints.plan import (
    CreateEndpoint,
    CreateEndpointConfig,
    CreateModel,
    DeleteEndpoint,
    DeleteEndpointConfig,
    DeleteModel,
    plan,
)
from shared.endpoints.record import EndpointRecord, Observed, Status, Wanted

LAYOUT = Wanted("layout:3", "s3://models/layout.tar.gz", "ml.m5.large")
NAME = LAYOUT.artefact_name("invoice-layout")
SETTLED_OR_MOVING = [status for status in Status if status not in (Status.MISSING, Status.UNKNOWN)]
MOVING = [Status.CREATING, Status.UPDATING, Status.SYSTEM_UPDATING, Status.ROLLING_BACK, Status.DELETING]


@pytest.fixture
def record() -> EndpointRecord:
    return EndpointRecord("invoice-layout", wanted=LAYOUT)


def test_a_missing_endpoint_is_made_from_a_model_and_a_config_named_by_content(record: EndpointRecord) -> None:
    assert plan(record, Observed(Status.MISSING)) == (
        CreateModel(NAME, LAYOUT),
        CreateEndpointConfig(NAME, LAYOUT),
        CreateEndpoint("invoice-layout", NAME),
    )


def test_a_missing_endpoint_that_the_author_runs_is_not_made(record: EndpointRecord) -> None:
    assert plan(replace(record, wanted=None), Observed(Status.MISSING)) == ()


@pytest.mark.parametrize("status", SETTLED_OR_MOVING)
@pytest.mark.parametrize("managed", [True, False])
def test_an_endpoint_that_exists_is_left_as_it_is(record: EndpointRecord, status: Status, managed: bool) -> None:
    assert plan(record, Observed(status, "another-config", managed)) == ()


@pytest.mark.parametrize("status", SETTLED_OR_MOVING)
def test_an_endpoint_that_is_not_ours_is_never_removed(record: EndpointRecord, status: Status) -> None:
    assert plan(replace(record, present=False), Observed(status, NAME, managed=False)) == ()


@pytest.mark.parametrize("status", SETTLED_OR_MOVING)
def test_ours_is_removed_once_it_moves_no_more(record: EndpointRecord, status: Status) -> None:
    steps = plan(replace(record, present=False, managed=True), Observed(status, NAME, managed=True))

    assert steps == (() if status in MOVING else (DeleteEndpoint("invoice-layout"),))


def test_config_and_model_go_after_the_endpoint(record: EndpointRecord) -> None:
    gone = replace(record, present=False, managed=True, config_name=NAME, status=Status.MISSING)

    assert plan(gone, Observed(Status.MISSING)) == (DeleteEndpointConfig(NAME), DeleteModel(NAME))


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
