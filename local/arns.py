"""What things are called in the emulated account, so that each part can name the others before they are there."""

from typing import Final

from moto.core.models import DEFAULT_ACCOUNT_ID

#: No region of this name can exist, so nothing here can reach a real account.
REGION: Final = "local-1"
ACCOUNT: Final = DEFAULT_ACCOUNT_ID
#: The one queue that Batch has here.
JOB_QUEUE: Final = "byob"
JOB_QUEUE_ARN: Final = f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/{JOB_QUEUE}"
JOB_LOG_GROUP: Final = "/aws/batch/byob"


def function(id: str) -> str:
    """Give the ARN of the function with this logical id."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{id}"


def role(name: str) -> str:
    """Give the ARN of a role."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def state_machine(id: str) -> str:
    """Give the ARN of the state machine with this logical id."""
    return f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{id}"
