"""The end of a run: what became of the files, in a status and a sentence."""

import json
from collections.abc import Mapping
from typing import Final

from shared import clock
from shared.aws import AwsRefusedError
from shared.errors import AwsUnavailableError
from shared.jobs.batch import Batch
from shared.jobs.items import Items
from shared.jobs.progress import outcome, unfinished_files
from shared.jobs.record import Job, JobStatus
from shared.jobs.registry import JobRegistry
from shared.log import logger

#: Errors whose sentence is meant for the job's owner.
_TOLD: Final = frozenset({"JobCannotRunError", "AwsRefusedError", "AwsUnavailableError", "RegistryUnavailableError"})


def reason_of(error: Mapping[str, str] | None) -> str:
    """Put into a sentence what a state caught: `{"Error", "Cause"}`, None where it caught nothing.

    Step Functions developer guide, "Handling error conditions": the cause of a function's error is JSON with errorType
    and errorMessage.
    """
    if error is None:
        return ""
    try:
        cause = json.loads(error.get("Cause", ""))
        kind, message = cause["errorType"], cause["errorMessage"]
    except (ValueError, KeyError, TypeError):
        kind, message = error.get("Error", "unknown"), ""
    return message if kind in _TOLD else f"the platform failed at it ({kind}); its log has the reason"


def sum_up(job_id: str, run: int, why: str, *, jobs: JobRegistry, items: Items, batch: Batch) -> Job:
    """Note how a run ended; `why`: what kept it from going on, "" where nothing did. Raise RegistryUnavailableError.

    A run that was cancelled, or whose end has been noted, is left as it is.
    """
    items.refresh()
    counts = items.counts(job_id)
    job = jobs.get(job_id)
    if not why and unfinished_files(counts):
        why = _batch_reason(job_id, run, batch)

    def change(now: Job) -> Job:
        if now.run != run or now.is_finished or now.status is JobStatus.CANCELLING:
            return now
        return now.ended(*outcome(now, counts, why), clock.now())

    job = jobs.update(job_id, change)
    logger.info("run summed up", job=job_id, run=run, status=job.status.value, reason=job.reason)
    return job


def _batch_reason(job_id: str, run: int, batch: Batch) -> str:
    try:
        return batch.why_failed(job_id, run)
    except (AwsUnavailableError, AwsRefusedError):
        logger.exception("Batch not asked for its reason", job=job_id, run=run)
        return ""
