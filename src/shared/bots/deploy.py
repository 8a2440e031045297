"""Deploying a bot's endpoints: what is asked of the control loop, and how that is put into words."""

from dataclasses import replace
from functools import partial
from typing import Any

from shared import clock
from shared.bots.endpoints import hand_over
from shared.bots.fields import wanted_endpoints
from shared.bots.registry import BotRegistry
from shared.endpoints.record import MOVING, EndpointRecord, Status, Wanted
from shared.endpoints.records import EndpointRecords
from shared.endpoints.trigger import Trigger


def deploy(
    name: str, *, bots: BotRegistry, endpoints: EndpointRecords, trigger: Trigger, correlation_id: str
) -> list[dict[str, Any]]:
    """Have the bot's endpoints brought to its configuration as it is now; say of each what will be done.

    Only endpoints that we made are rolled. Failed attempts are forgotten, so that one that was given up starts afresh.
    Raise BotNotFoundError.
    """
    bot = bots.get(name)
    records = {
        endpoint: endpoints.upsert(endpoint, partial(_asked, wanted=wish, by=correlation_id))
        for endpoint, wish in wanted_endpoints(bot.fields).items()
    }
    actions = [action(record, endpoint) for endpoint, record in records.items()]
    # Also where the record shows nothing to do: whoever deploys may know better, and the control loop looks first.
    to_do = [record.name for record in records.values() if record.wanted]
    failed = hand_over(bot.name, to_do, endpoints, trigger, correlation_id)
    for answer in actions:
        if record := failed.get(answer["name"].lower()):
            answer["detail"] += f"; {record.failure.message}" if record.failure else ""
    return actions


def _asked(record: EndpointRecord, wanted: Wanted | None, by: str) -> EndpointRecord:
    asking = asking_to_roll(record, wanted)
    return asking.requested(by, clock.now()) if wanted else asking


def asking_to_roll(record: EndpointRecord, wanted: Wanted | None) -> EndpointRecord:
    """Take over a bot's wish, and that the endpoint is to be rolled to it where we made it."""
    record = record.wishing(wanted)
    if wanted is None:
        return record
    # An accepted update that is on its way is judged by what it was for, unless it is for the same.
    under_way = record.rolled_from and record.roll_to == record.target
    rolls = record.managed and (record.config_name != record.target or record.status is Status.UPDATE_ROLLBACK_FAILED)
    if under_way or not rolls:
        return record.afresh()
    return replace(record.afresh(), roll_to=record.target, rolled_from="")


def action(record: EndpointRecord, name: str) -> dict[str, Any]:
    """Say in a word and in a sentence what the control loop will do with an endpoint."""
    word, detail = _action(record)
    return {"name": name, "action": word, "detail": detail}


def _action(record: EndpointRecord) -> tuple[str, str]:
    match record.status:
        case Status.UNKNOWN:
            return "wait", "SageMaker has not been asked yet; that comes first"
        case Status.MISSING if record.wanted:
            return "create", f"the endpoint is missing and is made from {record.wanted.image}"
        case Status.MISSING:
            return "none", "the endpoint is missing, and endpoint_ecr_image_path names no image to make it from"
        case _ if not record.managed:
            return "leave", "the endpoint was not made by the platform and is left alone"
        case Status.FAILED if record.wanted:
            return "recreate", f"the endpoint has failed; it is removed and made anew from {record.wanted.image}"
        case status if status in MOVING:
            return "wait", f"SageMaker is at work ({status.value}); what is wanted follows when it is done"
        case _ if record.roll_to:
            return "update", f"the endpoint is rolled from {record.config_name} to {record.roll_to}"
        case _:
            return "none", "the endpoint runs what the configuration asks for"
