"""What things are called in the emulated account, so that each part can name the others before they are there."""

from typing import Final

from moto.core.models import DEFAULT_ACCOUNT_ID

#: No region of this name can exist, so nothing here can reach a real account.
REGION: Final = "local-1"
ACCOUNT: Final = DEFAULT_ACCOUNT_ID
#: The stack, as CloudFormation would name it and what it makes.
STACK: Final = "byob"
STACK_ID: Final = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/5f2a7c10-9d3b-11ef-8c0e-0a1b2c3d4e5f"
#: The one queue that Batch has here.
JOB_QUEUE: Final = "byob"
JOB_QUEUE_ARN: Final = f"arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/{JOB_QUEUE}"
JOB_LOG_GROUP: Final = f"/byob/{STACK}/jobs"


def named(id: str, stack: str = STACK) -> str:
    """Give the name of what a template names by its logical id alone."""
    return f"{stack}-{id}"


def function(name: str) -> str:
    """Give the ARN of a function."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


def alias(name: str) -> str:
    """Give the ARN of the alias by which a function is called."""
    return f"{function(name)}:live"


def role(name: str) -> str:
    """Give the ARN of a role."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def state_machine(name: str) -> str:
    """Give the ARN of a state machine."""
    return f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{name}"
