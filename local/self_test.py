"""The self-test as a person sees it: asked of a stack, here or deployed, and its report in lines."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError


class SelfTestError(RuntimeError):
    """Raised when the self-test gives no report."""


def ask(client: Any, function: str, bucket: str | None) -> dict[str, Any]:
    """Have the function test its stack, with a Lambda client that waits for minutes; raise SelfTestError."""
    event = {"bucket": bucket} if bucket else {}
    try:
        answer = client.invoke(FunctionName=function, Payload=json.dumps(event).encode())
    except (ClientError, BotoCoreError) as error:
        raise SelfTestError(f"the self-test could not be invoked: {error}") from error
    report: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise SelfTestError(f"the self-test failed by itself: {report.get('errorMessage', answer['FunctionError'])}")
    return report


def show(report: Mapping[str, Any]) -> bool:
    """Print a report, a line each step, and tell whether no step failed."""
    for step in report["steps"]:
        word = {True: "ok", False: "failed", None: "not tried"}[step["ok"]]
        said = ": ".join(part for part in (step["code"], step["detail"]) if part)
        print(f"{word:<10} {step['seconds']:6.2f} s  {step['name']}{f' - {said}' if said else ''}", flush=True)
    print(", ".join(f"{name} {value}" for name, value in report["versions"].items() if value))
    print(f"at {report['at']} UTC; {report['id']} in the functions' log is this self-test")
    return bool(report["ok"])
