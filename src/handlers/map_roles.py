"""After each deployment, and every hour: map the functions' roles to what they may do in the domain."""

from operator import itemgetter
from typing import Any

from shared.access import map_roles
from shared.invocation import Event, task


@task(correlation_id=itemgetter("id"))
def handler(event: Event, context: Any) -> dict[str, Any]:
    """Map the roles; a failure is Lambda's to repeat and then to report."""
    return {"mapped": map_roles()}
