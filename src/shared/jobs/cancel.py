"""Cancelling a job: its execution is stopped, then its Batch jobs are ended by whoever hears of that."""

from shared import clock
from shared.aws import AwsRefusedError
from shared.errors import AwsUnavailableError
from shared.jobs.batch import Batch
from shared.jobs.executions import Executions
from shared.jobs.items import Items
from shared.jobs.notice import notice
from shared.jobs.record import Job
from shared.jobs.registry import JobRegistry
from shared.log import logger


def cancel(id: str, *, jobs: JobRegistry, items: Items, executions: Executions, batch: Batch) -> Job:
    """Begin to cancel a job, or go on with it; raise JobNotFoundError, JobStateError for one that is finished.

    There may be thousands of Batch jobs. They are ended after the event of the stopped execution, or by the schedule,
    and the job is CANCELLED then.
    """
    job = jobs.update(id, lambda now: now.cancelling(clock.now()))
    logger.info("job being cancelled", job=id, run=job.run)
    try:
        execution = executions.find(id, job.run)
        if execution and execution.is_running:
            executions.stop(id, job.run)
            return job
        # No event follows.
        return notice(id, jobs=jobs, items=items, executions=executions, batch=batch) or job
    except (AwsUnavailableError, AwsRefusedError):
        logger.exception("cancel not carried out yet, the schedule takes it up", job=id, run=job.run)
        return job
