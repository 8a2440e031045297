"""`python -m local run|demo|openapi`: what the Makefile's targets start."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError
from typing import Annotated, Final

import requests
import typer

from local import openapi, template
from local.aws import CREDENTIALS
from local.demo import demonstrate
from local.opensearch import DEFAULT_CACHE, NodeError, OpenSearchNode
from local.sagemaker import MOVING_SECONDS
from local.stack import PortInUseError, listen, stack

DATA: Final = template.ROOT / ".local"
_READY_SECONDS: Final = 30
# Every 5 minutes in AWS; here nobody wants to wait for that.
_SCHEDULE_SECONDS: Final = 5

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@cli.command()
def run(port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes any.")] = 3000) -> None:
    """Serve the API until Ctrl-C or SIGTERM; the bots are kept in .local/."""
    with (
        listen(port) as listener,
        _registry(DATA / "opensearch") as opensearch_url,
        stack(
            opensearch_url,
            listener,
            extra=_for_own_opensearch(),
            moving_seconds=MOVING_SECONDS,
            schedule_seconds=_SCHEDULE_SECONDS,
        ) as running,
    ):
        _wait_until_ready(running.url)
        print(f"ready: {running.url}", flush=True)
        signal.pause()


@cli.command()
def demo() -> None:
    """Register the sample bot on a stack of its own, show it, and stop everything."""
    data = Path(tempfile.mkdtemp(prefix="byob-demo-"))
    try:
        with (
            listen(0) as listener,
            _registry(data) as opensearch_url,
            stack(
                opensearch_url,
                listener,
                workers=2,
                extra={**_for_own_opensearch(), "INDEX_PREFIX": "byob-demo"},
                moving_seconds=MOVING_SECONDS,
                schedule_seconds=_SCHEDULE_SECONDS,
            ) as running,
        ):
            _wait_until_ready(running.url)
            demonstrate(running.url)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    print("\neverything that was started is stopped")


@cli.command("openapi")
def write_openapi() -> None:
    """Write docs/openapi.json from the code."""
    openapi.write()


@contextmanager
def _registry(data: Path) -> Iterator[str]:
    """Give the URL of the user's own OpenSearch where OPENSEARCH_URL names one, else of a node of ours."""
    own = os.environ.get("OPENSEARCH_URL")
    if own:
        print(f"using the OpenSearch at OPENSEARCH_URL ({own}); no node is started", file=sys.stderr)
        yield own
        return
    with OpenSearchNode(data, DEFAULT_CACHE) as node:
        yield node.url


def _for_own_opensearch() -> dict[str, str]:
    """Sign for the user's own OpenSearch with the keys and the region that they have set, if they have."""
    if not os.environ.get("OPENSEARCH_URL"):
        return {}
    region = {name: os.environ[name] for name in ("AWS_REGION",) if name in os.environ}
    if "AWS_ACCESS_KEY_ID" not in os.environ:
        return region
    return region | {name: os.environ.get(name, "") for name in CREDENTIALS}


def _wait_until_ready(api_url: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        answer = requests.get(f"{api_url}/health", timeout=_READY_SECONDS)
        if answer.ok:
            return
        if time.monotonic() > deadline:
            raise NodeError(f"the API is not ready after {_READY_SECONDS} s: {answer.text}")
        time.sleep(0.2)


def _stop(_signal: int, _frame: object) -> None:
    # An exception unwinds whatever has been started so far, also in the middle of starting.
    raise SystemExit(0)


def main() -> None:
    """Run a command; what a person can mend is one sentence, not a traceback."""
    signal.signal(signal.SIGTERM, _stop)
    # A shell starts its background jobs with SIGINT ignored; whoever sends one means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        cli(standalone_mode=False)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130 if len(sys.argv) > 1 and sys.argv[1] == "demo" else 0)
    except (PortInUseError, NodeError, TimeoutError, CalledProcessError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
