"""From what is wanted and what was seen to the steps that remain: pure, and empty once they agree.

A step is data. Its name for the model and the config follows from their content, so a step that was carried out
already is recognised by SageMaker's own "already exists".
"""

from dataclasses import dataclass

from shared.endpoints.record import EndpointRecord, Observed, Status, Wanted


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


Step = CreateModel | CreateEndpointConfig | CreateEndpoint | DeleteEndpoint | DeleteEndpointConfig | DeleteModel


def plan(record: EndpointRecord, observed: Observed) -> tuple[Step, ...]:
    """Give the steps from `observed` to what `record` wants; nothing for an endpoint that is not ours."""
    if record.present:
        return _create(record.name, record.wanted) if observed.status is Status.MISSING and record.wanted else ()
    if observed.status is Status.MISSING:
        return _clean_up(record)
    if observed.managed and observed.status not in _REFUSES_DELETION:
        return (DeleteEndpoint(record.name),)
    return ()


# SageMaker API, DeleteEndpoint: refused while the endpoint is being made or changed.
_REFUSES_DELETION = frozenset(
    {Status.CREATING, Status.UPDATING, Status.SYSTEM_UPDATING, Status.ROLLING_BACK, Status.DELETING}
)


def _create(endpoint: str, wanted: Wanted) -> tuple[Step, ...]:
    name = wanted.artefact_name(endpoint)
    return CreateModel(name, wanted), CreateEndpointConfig(name, wanted), CreateEndpoint(endpoint, name)


def _clean_up(record: EndpointRecord) -> tuple[Step, ...]:
    """Remove what a removed endpoint of ours leaves behind: config before model, as it names the model."""
    if not record.managed or not record.config_name:
        return ()
    return DeleteEndpointConfig(record.config_name), DeleteModel(record.config_name)
