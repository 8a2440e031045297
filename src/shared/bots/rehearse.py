"""What a call would do, without doing it: for `validate_only=true`."""

from dataclasses import asdict
from typing import Any

from shared import clock
from shared.bots.deploy import action, asking_to_roll
from shared.bots.fields import Fields, wanted_endpoints
from shared.bots.register import Change, differing
from shared.bots.registry import BotRegistry
from shared.endpoints.checks import Checks
from shared.endpoints.record import EndpointRecord, Failure
from shared.endpoints.records import EndpointRecords
from shared.endpoints.sagemaker import SageMaker
from shared.errors import SageMakerError
from shared.preconditions import Preconditions


def rehearse_write(
    name: str,
    change: Change,
    preconditions: Preconditions,
    *,
    bots: BotRegistry,
    endpoints: EndpointRecords,
    sagemaker: SageMaker,
    checks: Checks,
) -> dict[str, Any]:
    """Say what a change would do: `{"would", "name", "endpoints", "checks"}`; raise whatever doing it would raise."""
    existing = bots.find(name)
    preconditions.allow_change(existing.version_tag if existing else None)
    config = change(existing)
    would = "create" if existing is None else "replace" if differing(existing, config) else "nothing"
    return {"would": would, **_endpoints(config.fields(), endpoints, sagemaker, checks, roll=False)}


def rehearse_deploy(
    name: str, *, bots: BotRegistry, endpoints: EndpointRecords, sagemaker: SageMaker, checks: Checks
) -> dict[str, Any]:
    """Say what a deploy would do: `{"name", "endpoints", "checks"}`; raise BotNotFoundError."""
    return _endpoints(bots.get(name).fields, endpoints, sagemaker, checks, roll=True)


def _endpoints(
    fields: Fields, endpoints: EndpointRecords, sagemaker: SageMaker, checks: Checks, *, roll: bool
) -> dict[str, Any]:
    wishes = wanted_endpoints(fields)
    known = endpoints.get_many(wishes)
    actions = []
    for name, wish in wishes.items():
        record = known.get(name.lower(), EndpointRecord(name)).wishing(wish)
        try:
            record = record.seen(sagemaker.observe(record.name), clock.now())
        except SageMakerError as error:
            record = EndpointRecord(name, failure=Failure(error.code, str(error)))
        actions.append(action(asking_to_roll(record, wish) if roll else record, name))
    found = [check for wish in wishes.values() if wish for check in checks.of(wish)]
    if found:
        found.append(checks.role())
    return {"name": fields["name"], "endpoints": actions, "checks": [asdict(check) for check in dict.fromkeys(found)]}
