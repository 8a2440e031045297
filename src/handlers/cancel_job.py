"""POST /jobs/{id}/cancel: end a job before its time."""

from shared.api import Answer, Request, operation
from shared.errors import JobNotFoundError, JobStateError
from shared.jobs.batch import batch
from shared.jobs.cancel import cancel
from shared.jobs.executions import executions
from shared.jobs.items import items
from shared.jobs.read import show
from shared.jobs.registry import jobs


@operation(answers={202: "Job"}, raises=[JobNotFoundError, JobStateError])
def handler(request: Request) -> Answer:
    """Cancel a job: what its containers have finished stays; a retry goes on with the rest."""
    job = cancel(request.path["id"], jobs=jobs(), items=items(), executions=executions(), batch=batch())
    return Answer(202, show(job, items=items()))
