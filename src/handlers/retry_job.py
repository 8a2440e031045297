"""POST /jobs/{id}/retry: run a job again over the files that failed or were left unfinished."""

from shared import settings
from shared.api import Answer, Request, operation
from shared.bots.registry import bots
from shared.errors import JobNotFoundError, JobStateError
from shared.jobs.executions import executions
from shared.jobs.items import items
from shared.jobs.read import show
from shared.jobs.registry import jobs
from shared.jobs.retry import retry


@operation(answers={202: "Job"}, raises=[JobNotFoundError, JobStateError])
def handler(request: Request) -> Answer:
    """Retry a finished job with its bot as it is now; files that are completed are left alone."""
    capacity = settings.bot_capacity()
    job = retry(request.path["id"], bots=bots(), capacity=capacity, jobs=jobs(), items=items(), executions=executions())
    return Answer(202, show(job, items=items()))
