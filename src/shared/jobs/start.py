"""Starting a job: once for each Idempotency-Key, however often it is sent."""

import hashlib
import uuid

from shared import clock
from shared.bots.policy import too_large
from shared.bots.registry import BotRegistry
from shared.errors import BadRequestError, IdempotencyKeyReusedError, InvalidJobError, Violation
from shared.jobs.executions import Executions
from shared.jobs.launch import launch
from shared.jobs.record import Job, JobStatus
from shared.jobs.registry import JobRegistry, JobTakenError
from shared.jobs.request import JobRequest
from shared.log import logger
from shared.settings import BotCapacity


def job_id_for(caller: str, key: str | None) -> str:
    """Give the id of a new job: it follows from the caller and the key, where there is one. Raise BadRequestError."""
    if key is None:
        return uuid.uuid4().hex
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        rule = "must be 1 to 255 printable ASCII characters"
        raise BadRequestError(f"Idempotency-Key {rule}", [Violation("/Idempotency-Key", rule)])
    return hashlib.sha256(f"{caller}\n{key}".encode()).hexdigest()[:32]


def start(
    request: JobRequest,
    id: str,
    *,
    bots: BotRegistry,
    capacity: BotCapacity,
    jobs: JobRegistry,
    executions: Executions,
) -> Job:
    """Keep a job and set it going; the same request under the same id again gives the job that there is.

    Raise InvalidJobError where no such bot is registered or it is larger than `capacity`, IdempotencyKeyReusedError
    where the id has another request.
    """
    job = jobs.find(id)
    if job is None:
        bot = bots.find(request.bot_name)
        if bot is None:
            raise InvalidJobError([Violation("/bot_name", f"no bot named {request.bot_name!r} is registered")])
        if why := too_large(bot.fields, capacity):
            raise InvalidJobError([Violation("/bot_name", why)])
        job = Job.new(id, request.fields(), bot.fields, clock.now())
        try:
            jobs.create(job)
            logger.info("job created", job=id, bot=job.bot_name)
        except JobTakenError as taken:
            job = taken.job
    differing = [field for field, value in request.fields().items() if getattr(job, field) != value]
    if differing:
        raise IdempotencyKeyReusedError(id, differing)
    return launch(job, jobs=jobs, executions=executions) if job.status is JobStatus.QUEUED else job
