"""Has the stack that is deployed test itself, and prints the report: `.venv/bin/python -m tools.self_test [BUCKET]`.

BUCKET is one that holds media, to see whether the functions may look into it. Exit codes: 0 no step failed, 1 one did,
or there is no report.
"""

import sys
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.self_test import SelfTestError, ask, show
from tools.preflight.deployment import Deployment, read

# It walks for minutes, and a second attempt would be a second walk.
_CONFIG = Config(connect_timeout=10, read_timeout=320, retries={"total_max_attempts": 1, "mode": "standard"})


def function_of(deployment: Deployment) -> str:
    """Find the self-test's function in the stack's outputs; raise SelfTestError."""
    try:
        (stack,) = deployment.session.client("cloudformation").describe_stacks(StackName=deployment.stack)["Stacks"]
    except (ClientError, BotoCoreError) as error:
        raise SelfTestError(f"the stack {deployment.stack} cannot be looked at: {error}") from error
    outputs: list[dict[str, Any]] = stack.get("Outputs", [])
    found = [str(output["OutputValue"]) for output in outputs if output["OutputKey"] == "SelfTestFunction"]
    if not found:
        raise SelfTestError(f"the stack {deployment.stack} has no output SelfTestFunction; deploy it anew")
    return found[0]


def main(bucket: str | None = None) -> int:
    """Test what is deployed; tell the exit code."""
    try:
        deployment = read()
        function = function_of(deployment)
        print(f"testing what is deployed as {deployment.stack} (a minute or two)", file=sys.stderr, flush=True)
        report = ask(deployment.session.client("lambda", config=_CONFIG), function, bucket)
    except (SelfTestError, BotoCoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if show(report) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
