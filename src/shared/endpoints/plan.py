"""From what is wanted and what was seen to the steps that remain: pure, and empty once they agree.

A step is data. The name of a model and its config follows from their content, so a step that was carried out already
is recognised by SageMaker's own "already exists".
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.clock import rfc3339
from shared.endpoints.record import MOVING, EndpointRecord, Status, Wanted

#: So long the last look at an endpoint in service counts for whoever names it next; events tell if it moves meanwhile.
_FRESH: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class CreateModel:
    """Make the model `name` from an image and model data."""

    name: str
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class CreateEndpointConfig:
    """Make the endpoint config `name` for the model of the same name."""

    name: str
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class CreateEndpoint:
    """Make the endpoint from a config."""

    endpoint: str
    config_name: str


@dataclass(frozen=True, slots=True)
class UpdateEndpoint:
    """Roll the endpoint to another config."""

    endpoint: str
    config_name: str


@dataclass(frozen=True, slots=True)
class DeleteEndpoint:
    """Ask SageMaker to remove the endpoint."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class DeleteEndpointConfig:
    """Remove an endpoint config that nothing uses any more."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteModel:
    """Remove a model that nothing uses any more."""

    name: str


Step = (
    CreateModel
    | CreateEndpointConfig
    | CreateEndpoint
    | UpdateEndpoint
    | DeleteEndpoint
    | DeleteEndpointConfig
    | DeleteModel
)

#: Settled states in which SageMaker takes an UpdateEndpoint.
_CAN_ROLL: Final = frozenset({Status.IN_SERVICE, Status.OUT_OF_SERVICE, Status.UPDATE_ROLLBACK_FAILED})


def plan(record: EndpointRecord) -> tuple[Step, ...]:
    """Give the next steps from what was seen to what is wanted; nothing for an endpoint that is not ours.

    Carrying them out and looking again leads to the next steps, until there are none.
    """
    if record.status is Status.UNKNOWN or record.status in MOVING:
        return ()
    if record.status is Status.MISSING:
        if record.is_makable and record.wanted:
            made = CreateEndpoint(record.name, record.target)
            return (*_prepared(record.target, record.wanted), made, *_clean_up(record, keep={record.target}))
        return _clean_up(record, keep=set())
    if not record.managed:
        return _clean_up(record, keep={record.config_name})
    if not record.present or (record.status is Status.FAILED and record.is_makable):
        # SageMaker API, CreateEndpoint: a Failed endpoint can only be deleted; it is made anew once it is gone.
        return (DeleteEndpoint(record.name),)
    if record.wanted and record.status in _CAN_ROLL and _wants_roll(record):
        return (*_prepared(record.target, record.wanted), UpdateEndpoint(record.name, record.target))
    if record.status is Status.UPDATE_ROLLBACK_FAILED:
        return ()  # it runs a mix: none of its models and configs can go
    return _clean_up(record, keep={record.config_name, record.roll_to})


def is_settled(record: EndpointRecord) -> bool:
    """Tell whether nothing is left to do or to wait for; what is settled is looked at now and then all the same."""
    under_way = record.leased_until or record.rolled_from or not record.present or record.is_forgettable
    if under_way or record.status is Status.UNKNOWN or record.status in MOVING:
        return False
    return record.given_up or not plan(record)


def serves_already(record: EndpointRecord, wanted: Wanted | None, now: datetime) -> bool:
    """Tell whether a wish needs no look at its endpoint: lately in service, with nothing to note, do or wait for."""
    if record.status is not Status.IN_SERVICE or record.observed_at is None:
        return False
    return record.wishing(wanted) == record and is_settled(record) and record.observed_at > rfc3339(now - _FRESH)


def _wants_roll(record: EndpointRecord) -> bool:
    """`deploy` asked for what is wanted now, it does not run yet, and no accepted update to it is on its way."""
    runs = record.config_name == record.target and record.status is not Status.UPDATE_ROLLBACK_FAILED
    return bool(record.roll_to) and record.roll_to == record.target and not runs and not record.rolled_from


def _prepared(name: str, wanted: Wanted) -> tuple[Step, ...]:
    return CreateModel(name, wanted), CreateEndpointConfig(name, wanted)


def _clean_up(record: EndpointRecord, keep: set[str]) -> tuple[Step, ...]:
    """Remove the models and configs of ours that nothing needs: config before model, as it names the model."""
    return tuple(
        step
        for name in record.artefacts
        if name not in keep
        for step in (DeleteEndpointConfig(name), DeleteModel(name))
    )
