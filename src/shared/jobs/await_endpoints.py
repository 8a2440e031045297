"""A job's first step: whether its bot is still there, and its endpoints can be called."""

from datetime import timedelta
from typing import Any, Final

from shared import clock, settings
from shared.bots.fields import endpoint_names
from shared.bots.registry import BotRegistry
from shared.clock import from_flat
from shared.endpoints.record import EndpointRecord, Observed, Status
from shared.endpoints.records import EndpointRecords
from shared.endpoints.sagemaker import SageMaker
from shared.errors import JobCannotRunError, SageMakerError
from shared.jobs.record import JobStatus
from shared.jobs.registry import JobRegistry

#: An endpoint that SageMaker changes goes on to answer calls meanwhile.
_ANSWERING: Final = frozenset({Status.IN_SERVICE, Status.UPDATING, Status.SYSTEM_UPDATING, Status.ROLLING_BACK})


def check_endpoints(
    job_id: str, run: int, *, jobs: JobRegistry, bots: BotRegistry, endpoints: EndpointRecords, sagemaker: SageMaker
) -> dict[str, Any]:
    """Give `{"ready": bool, "waiting_for": [name, …]}`.

    Raise JobCannotRunError where the bot is gone, an endpoint was given up, or the wait has been too long, and
    JobStoppedError.
    """
    job = jobs.update(job_id, lambda now: now.advanced(JobStatus.WAITING, run, clock.now()))
    if bots.find(job.bot_name) is None:
        raise JobCannotRunError(f"its bot {job.bot_name!r} was deleted before the job began")
    names = endpoint_names({"endpoint_name": job.endpoint_name})
    seen = {name: _observed(name, sagemaker) for name in names}
    waiting_for = [name for name, observed in seen.items() if observed.status not in _ANSWERING]
    records = endpoints.get_many(waiting_for)
    for name in waiting_for:
        record = records.get(name.lower())
        if record and record.given_up:
            raise JobCannotRunError(f"endpoint {name} cannot be made{_because(record)}")
    allowed = timedelta(seconds=settings.endpoint_wait_seconds())
    if waiting_for and clock.now() - from_flat(job.started_date) >= allowed:
        name = waiting_for[0]
        raise JobCannotRunError(
            f"endpoint {name} was not in service after {_spoken(allowed)} ({seen[name].status.value})"
            f"{_because(records.get(name.lower()))}"
        )
    return {"ready": not waiting_for, "waiting_for": waiting_for}


def _observed(name: str, sagemaker: SageMaker) -> Observed:
    try:
        return sagemaker.observe(name)
    except SageMakerError:
        return Observed(Status.UNKNOWN)  # asked again after the wait


def _because(record: EndpointRecord | None) -> str:
    return f": {record.failure.message}" if record and record.failure else ""


def _spoken(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    return f"{seconds // 3600} h" if seconds % 3600 == 0 else f"{seconds} s"
