"""A new process that answers its first events, as an execution environment of Lambda does, and loads nothing else.

`PYTHON -I -S -B first_event.py FOLDERS module.function < EVENTS` imports the function from FOLDERS (with `:` between
them), calls it with each event of a JSON list and prints, as the last line, {"status": of the last answer,
"answered_ns": when the first answer was there, on the monotonic clock, "peak_kb", "modules": the names of all loaded}.
With `peer` for a function it does what the least of peers begins with, and answers nothing.
"""

import sys
import time


class Context:
    """What Lambda tells a function of an invocation."""

    function_name = "first-event"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:local-1:000000000000:function:first-event"
    aws_request_id = "0b0f6c2e-3b5c-4a55-b1a5-6f0c8f9d3c11"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Give the time that is left, in milliseconds."""
        return 120_000


def _answer_first(function: str) -> tuple[int, int]:
    import importlib  # noqa: PLC0415 - the peer is not to pay for it
    import json  # noqa: PLC0415

    events = json.load(sys.stdin)
    module, _, name = function.rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    answered_ns, answer = 0, {}
    for event in events:
        answer = handler(event, Context)
        answered_ns = answered_ns or time.monotonic_ns()
    return answer.get("statusCode", 0), answered_ns


def _begin_as_a_peer() -> tuple[int, int]:
    """Load opensearch-py and pydantic, and make the stock signer as opensearch-py's guide to authentication does."""
    import boto3  # noqa: PLC0415
    from opensearchpy import OpenSearch, RequestsAWSV4SignerAuth, RequestsHttpConnection  # noqa: F401, PLC0415
    from pydantic import BaseModel  # noqa: F401, PLC0415

    RequestsAWSV4SignerAuth(boto3.Session().get_credentials(), "local-1", "es")
    return 0, time.monotonic_ns()


def _main() -> None:
    sys.path[:0] = sys.argv[1].split(":")
    status, answered_ns = _begin_as_a_peer() if sys.argv[2] == "peer" else _answer_first(sys.argv[2])
    modules = sorted(sys.modules)
    import json  # noqa: PLC0415 - after what is measured

    with open("/proc/self/status") as lines:  # noqa: PTH123 - pathlib would count
        # proc(5), VmHWM: getrusage's ru_maxrss begins with what the parent had when it started this process.
        peak_kb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    print(json.dumps({"status": status, "answered_ns": answered_ns, "peak_kb": peak_kb, "modules": modules}))


if __name__ == "__main__":
    _main()
