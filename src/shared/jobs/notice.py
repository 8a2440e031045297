"""Looking at a run from outside: what its execution says, and what follows for the job.

Whoever calls it, however often (an event, the schedule, a cancel), the outcome is the same.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from shared import clock
from shared.clock import flat
from shared.errors import ByobError
from shared.jobs.batch import Batch
from shared.jobs.executions import Executions
from shared.jobs.items import Items
from shared.jobs.launch import launch
from shared.jobs.record import Job, JobStatus
from shared.jobs.registry import JobRegistry
from shared.jobs.sum_up import sum_up
from shared.log import logger

#: Younger jobs are in the hands of whoever is just writing them.
_QUIET: Final = timedelta(minutes=1)
#: So long after a cancel the schedule ends Batch jobs that a stopping execution may still have submitted.
_AFTER_CANCEL: Final = timedelta(minutes=15)


def notice(job_id: str, *, jobs: JobRegistry, items: Items, executions: Executions, batch: Batch) -> Job | None:
    """Bring a job to what its execution says; None for a job that there is not.

    An execution that was never started is started; one that ended by itself ends its Batch jobs and is summed up; of
    one that is being cancelled, all Batch jobs are ended. Raise AwsUnavailableError, AwsRefusedError,
    RegistryUnavailableError.
    """
    job = jobs.find(job_id)
    if job is None or (job.is_finished and job.status is not JobStatus.CANCELLED):
        return job
    execution = executions.find(job_id, job.run)
    if job.status in (JobStatus.CANCELLING, JobStatus.CANCELLED):
        return _cancelled(job, execution is not None and execution.is_running, jobs, executions, batch)
    if execution is None:
        return launch(job, jobs=jobs, executions=executions)
    if execution.is_running:
        return job
    batch.terminate(job_id, job.run)
    error = f", {execution.error}" if execution.error else ""
    why = f"its execution in Step Functions ended before its time ({execution.status}{error})"
    return sum_up(job_id, job.run, why, jobs=jobs, items=items, batch=batch)


def notice_all(
    *, jobs: JobRegistry, items: Items, executions: Executions, batch: Batch, goes_on: Callable[[], bool]
) -> int:
    """Look at every job that has been quiet for a while, and at those cancelled lately; tell at how many."""
    looked_at = 0
    now = clock.now()
    for job in jobs.quiet(since=flat(now - _QUIET), cancelled_after=flat(now - _AFTER_CANCEL)):
        if not goes_on():
            break
        looked_at += 1
        try:
            notice(job.job_id, jobs=jobs, items=items, executions=executions, batch=batch)
        except ByobError:  # the others are not to wait for this one
            logger.exception("job not looked at", job=job.job_id)
    return looked_at


def _cancelled(job: Job, is_running: bool, jobs: JobRegistry, executions: Executions, batch: Batch) -> Job:
    if is_running:
        executions.stop(job.job_id, job.run)
    ended = batch.terminate(job.job_id, job.run)
    logger.info("Batch jobs ended", job=job.job_id, run=job.run, count=ended)
    run = job.run
    return jobs.update(
        job.job_id,
        lambda now: (
            now.ended(JobStatus.CANCELLED, "", clock.now())
            if now.status is JobStatus.CANCELLING and now.run == run
            else now
        ),
    )
