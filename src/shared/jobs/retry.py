"""Retrying a job: another run over exactly the files that failed or were left unfinished."""

from shared import clock
from shared.bots.policy import too_large
from shared.bots.registry import BotRegistry
from shared.errors import JobStateError
from shared.jobs.executions import Executions
from shared.jobs.item import ItemStatus
from shared.jobs.items import Items
from shared.jobs.launch import launch
from shared.jobs.progress import unfinished_files
from shared.jobs.record import Job
from shared.jobs.registry import JobRegistry
from shared.log import logger
from shared.settings import BotCapacity


def retry(
    id: str,
    *,
    bots: BotRegistry,
    capacity: BotCapacity,
    jobs: JobRegistry,
    items: Items,
    executions: Executions,
) -> Job:
    """Begin a job's next run, with the image and the endpoints that its bot has now.

    Raise JobNotFoundError, or JobStateError where it is not finished, has nothing left to do, has lost its bot, or has
    one that is larger than `capacity`.
    """
    job = jobs.get(id)
    job.require_finished()
    items.refresh()
    counts = items.counts(id)
    if job.listed and not unfinished_files(counts) + counts[ItemStatus.ERROR]:
        raise JobStateError(f"job {id} has no file that failed or was left unfinished; there is nothing to retry")
    bot = bots.find(job.bot_name)
    if bot is None:
        raise JobStateError(f"bot {job.bot_name!r} of job {id} is not registered any more; register it to retry")
    if why := too_large(bot.fields, capacity):
        raise JobStateError(f"{why}; make it smaller to retry")
    job = jobs.update(id, lambda now: now.retried(bot.fields, clock.now()))
    logger.info("job retried", job=id, run=job.run)
    return launch(job, jobs=jobs, executions=executions)
