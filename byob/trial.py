"""A bot on the author's machine: a new one from the sample, and one tried on a local file before anything is built."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from configuration import DEFAULT_FILE
from service import Options
from words import Failure

SAMPLE = Path(__file__).resolve().parent
BOT = "bot_docker"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
# Nothing is signed for with these: the answer comes from a file.
STUB_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "stub",
    "AWS_SECRET_ACCESS_KEY": "stub",
    "region_name": "stub-1",
    "NO_PROXY": "127.0.0.1",
}


def make_bot(directory: Path) -> str:
    """Copy the sample into a directory that is new or empty, as a bot of the directory's name; give that name."""
    name = directory.resolve().name
    if not NAME.fullmatch(name):
        raise Failure(f"no bot can be named '{name}': up to 63 letters, digits, - and _, the first no - or _")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Failure(f"{directory} exists and is not empty: nothing was written")
    try:
        shutil.copytree(SAMPLE / BOT, directory / BOT, ignore=shutil.ignore_patterns("__pycache__"))
        configuration = json.loads((SAMPLE / DEFAULT_FILE).read_text())
        content = json.dumps({**configuration, "name": name}, indent=4)
        (directory / DEFAULT_FILE).write_text(f"{content}\n")
    except OSError as error:
        raise Failure(f"cannot write {error.filename}: {error.strerror}") from error
    return name


def try_main_task(
    directory: Path, configuration: Mapping[str, Any], sample: Path, stub: Path | None, options: Options
) -> Any:
    """Call a bot's main_task for one local file and give its result; raise a Failure where it has none.

    The endpoint is the one in the configuration or, with `stub`, a file with its answer. What main_task prints goes to
    stderr.
    """
    bot = (directory / BOT).resolve()
    for file in (bot / "task.py", bot / "plumbing" / "once.py", sample):
        if not file.is_file():
            raise Failure(f"there is no file {file}")
    requirements = directory / BOT / "requirements.txt"
    if not importlib.util.find_spec("boto3"):
        raise Failure(f"the bot needs the package boto3: python3 -m pip install -r {requirements}")

    environment = {**os.environ, "endpoint_name": str(configuration.get("endpoint_name") or "")}
    region = options.region or os.environ.get("AWS_REGION")
    environment |= {name: value for name, value in (("region_name", region), ("AWS_PROFILE", options.profile)) if value}
    arguments = shlex.split(str(configuration.get("bot_image_cmd") or ""))
    with tempfile.TemporaryDirectory() as temporary, _endpoint(stub) as stubbed:
        result = Path(temporary, "result.json")
        done = subprocess.run(  # noqa: S603  # the kit's own module, on this very interpreter
            [sys.executable, "-m", "plumbing.once", str(sample.resolve()), str(result), *arguments],
            cwd=bot,
            env={**environment, **stubbed},
            stdout=sys.stderr,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        *told, sentence = done.stderr.rstrip("\n").split("\n")
        if done.returncode:
            raise Failure(f"main_task fails on {sample}: {sentence}", *told)
        sys.stderr.write(done.stderr)
        return json.loads(result.read_text())


@contextmanager
def _endpoint(stub: Path | None) -> Iterator[dict[str, str]]:
    """Answer InvokeEndpoint with a file's content; give the environment that leads there."""
    if not stub:
        yield {}
        return
    try:
        content = stub.read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {stub}: {error.strerror}") from error

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield {**STUB_ENVIRONMENT, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": f"http://127.0.0.1:{server.server_port}"}
        server.shutdown()
