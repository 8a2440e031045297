"""`python -m local run|demo|self-test|openapi|sam-check`: what the Makefile's targets start."""

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

from local import openapi, sam, sam_check, samples, self_test, template
from local.aws import CREDENTIALS, client
from local.demo import ResultsError, demonstrate
from local.hosts import LOOPBACK, AddressError, for_containers
from local.opensearch import DEFAULT_CACHE, NodeError, OpenSearchNode
from local.sagemaker import MOVING_SECONDS
from local.stack import DEFAULT_WORKERS, LOGGING, PortInUseError, Running, listen, stack

DATA: Final = template.ROOT / ".local"
SAM_TEMPLATE: Final = DATA / "sam.yaml"
_READY_SECONDS: Final = 30
# Every 5 minutes in AWS; here nobody wants to wait for that.
_SCHEDULE_SECONDS: Final = 5
# As much faster as that: a state machine's 30 s between two looks become half a second.
_PACE: Final = _SCHEDULE_SECONDS / 300

_MENDABLE: Final = (
    *(PortInUseError, AddressError, NodeError, TimeoutError, CalledProcessError, ResultsError),
    *(sam.NotBuiltError, sam_check.SamError, self_test.SelfTestError),
)

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@cli.command()
def run(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the API; 0 takes any.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = LOOPBACK,
    logs: Annotated[bool, typer.Option("--logs", help="Print the functions' logs and metrics.")] = False,
    environments: Annotated[int, typer.Option(min=1, help="Events of one function at a time.")] = DEFAULT_WORKERS,
) -> None:
    """Serve the API until Ctrl-C or SIGTERM; the bots are kept in .local/."""
    with (
        listen(port, host) as listener,
        _registry(DATA / "opensearch", host) as opensearch_url,
        stack(
            opensearch_url,
            listener,
            workers=environments,
            extra={**_for_own_opensearch(), **(LOGGING if logs else {})},
            moving_seconds=MOVING_SECONDS,
            schedule_seconds=_SCHEDULE_SECONDS,
            pace=_PACE,
        ) as running,
    ):
        _wait_until_ready(running.url)
        samples.provide(client("s3", running.aws_url))
        with _open_to_containers(running, host):
            print(f"ready: {running.url}", flush=True)
            signal.pause()


@cli.command()
def demo() -> None:
    """Register the sample bot on a stack of its own, run it over sample pictures, and stop everything."""
    with _passing("byob-demo") as running:
        demonstrate(running.url, running.aws_url)
    print("\neverything that was started is stopped")


@cli.command("self-test")
def test_itself() -> None:
    """Have a stack of its own test itself, as a deployed one does, and print the report; exit 1 where a step failed."""
    with _passing("byob-self-test") as running:
        samples.provide(client("s3", running.aws_url))
        report = self_test.ask(client("lambda", running.aws_url), "SelfTest", samples.BUCKET)
    if not self_test.show(report):
        raise SystemExit(1)


@cli.command("openapi")
def write_openapi() -> None:
    """Write docs/openapi.json from the code."""
    openapi.write()


@cli.command("sam-check")
def check_sam() -> None:
    """Compare the built functions' answers, in containers, with the handlers' here; exit 1 where they differ."""
    if not sam_check.check():
        raise SystemExit(1)


@contextmanager
def _passing(prefix: str) -> Iterator[Running]:
    """Start a stack that leaves nothing, with indices of its own also in the user's OpenSearch."""
    data = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
    try:
        with (
            listen(0) as listener,
            _registry(data) as opensearch_url,
            stack(
                opensearch_url,
                listener,
                workers=2,
                extra={**_for_own_opensearch(), "INDEX_PREFIX": prefix},
                moving_seconds=MOVING_SECONDS,
                schedule_seconds=_SCHEDULE_SECONDS,
                pace=_PACE,
            ) as running,
        ):
            _wait_until_ready(running.url)
            yield running
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def _open_to_containers(running: Running, host: str) -> Iterator[None]:
    """Where the stack listens beyond loopback, say so, and keep the template with which `sam local` finds it."""
    if host == LOOPBACK:
        yield
        return
    address = for_containers(host)
    print(
        f"listening on {host}: whoever reaches {address} may call the API, AWS and OpenSearch, unsigned",
        file=sys.stderr,
    )
    try:
        sam.write_template(SAM_TEMPLATE, running.environment, address)
        print(f"for sam local: --template {SAM_TEMPLATE.relative_to(template.ROOT)}", file=sys.stderr)
    except sam.NotBuiltError as error:
        print(error, file=sys.stderr)
    try:
        yield
    finally:
        SAM_TEMPLATE.unlink(missing_ok=True)


@contextmanager
def _registry(data: Path, host: str = LOOPBACK) -> Iterator[str]:
    """Give the URL of the user's own OpenSearch where OPENSEARCH_URL names one, else of a node of ours."""
    own = os.environ.get("OPENSEARCH_URL")
    if own:
        print(f"using the OpenSearch at OPENSEARCH_URL ({own}); no node is started", file=sys.stderr)
        yield own
        return
    with OpenSearchNode(data, DEFAULT_CACHE, host=host) as node:
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
    except _MENDABLE as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
