"""Setting a job's run going, and noting why where that did not work."""

from dataclasses import replace
from typing import Final

from shared.aws import AwsRefusedError
from shared.errors import AwsUnavailableError
from shared.jobs.executions import Executions
from shared.jobs.record import Job, JobStatus
from shared.jobs.registry import JobRegistry
from shared.log import logger

_LATER: Final = "its execution could not be started yet, which is tried again every 5 minutes: "


def launch(job: Job, *, jobs: JobRegistry, executions: Executions) -> Job:
    """Start the execution of a job that is queued; one that has been started already is left as it is.

    The job is stored by now, so nothing here fails its making: the schedule takes up what could not be started.
    """
    try:
        executions.start(job.job_id, job.run)
    except (AwsUnavailableError, AwsRefusedError) as error:
        logger.exception("execution not started", job=job.job_id, run=job.run)
        reason = f"{_LATER}{error}"
        return jobs.update(
            job.job_id, lambda now: replace(now, reason=reason) if now.status is JobStatus.QUEUED else now
        )
    logger.info("execution started", job=job.job_id, run=job.run)
    return job
