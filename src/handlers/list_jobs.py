"""GET /jobs: the jobs, the newest first, page by page."""

from shared.api import Answer, Request, operation
from shared.jobs.query import JobQuery
from shared.jobs.read import read_jobs
from shared.jobs.registry import jobs


@operation(answers={200: "JobPage"}, query=["limit", "next_token", "bot_name", "status"])
def handler(request: Request) -> Answer:
    """List jobs, the newest first; the filters given must all match."""
    return Answer(200, read_jobs(JobQuery.from_parameters(request.query), jobs=jobs()))
