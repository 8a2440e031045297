"""GET /jobs/{id}/files: the files of a job by key, page by page."""

from shared.api import Answer, Request, operation
from shared.errors import JobNotFoundError
from shared.jobs.items import items
from shared.jobs.query import FileQuery
from shared.jobs.read import read_files
from shared.jobs.registry import jobs


@operation(answers={200: "FilePage"}, query=["limit", "next_token", "status"], raises=[JobNotFoundError])
def handler(request: Request) -> Answer:
    """List a job's files by key, with their results, or the reasons why there is none."""
    query = FileQuery.from_parameters(request.path["id"], request.query)
    return Answer(200, read_files(query, jobs=jobs(), items=items()))
