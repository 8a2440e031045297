"""POST /jobs: run a bot over the files of an S3 prefix."""

from shared import settings
from shared.api import Answer, Request, operation
from shared.bots.registry import bots
from shared.errors import IdempotencyKeyReusedError, InvalidJobError
from shared.jobs.executions import executions
from shared.jobs.items import items
from shared.jobs.read import show
from shared.jobs.registry import jobs
from shared.jobs.request import JobRequest
from shared.jobs.start import job_id_for, start


@operation(
    body="JobRequest",
    headers=["Idempotency-Key"],
    answers={202: "Job"},
    raises=[InvalidJobError, IdempotencyKeyReusedError],
)
def handler(request: Request) -> Answer:
    """Start a job: the same request under the same Idempotency-Key again is the same job."""
    wanted = JobRequest.from_json(request.json())
    id = job_id_for(request.caller, request.headers.get("idempotency-key"))
    capacity = settings.bot_capacity()
    job = start(wanted, id, bots=bots(), capacity=capacity, jobs=jobs(), executions=executions())
    return Answer(202, show(job, items=items()), {"Location": f"{request.address}/{job.job_id}"})
