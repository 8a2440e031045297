"""GET /jobs/{id}: a job, and how far it has come."""

from shared.api import Answer, Request, operation
from shared.errors import JobNotFoundError
from shared.jobs.items import items
from shared.jobs.read import read_job
from shared.jobs.registry import jobs


@operation(answers={200: "Job"}, raises=[JobNotFoundError])
def handler(request: Request) -> Answer:
    """Read a job with the counts of its files, its rate and the time left."""
    return Answer(200, read_job(request.path["id"], jobs=jobs(), items=items()))
