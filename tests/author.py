"""An author at work: byob.py as a process, and a service that gives scripted answers."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[1] / "byob" / "byob.py"


@dataclass(frozen=True)
class Answer:
    status: int
    document: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_up: bool = False


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Recorder(ThreadingHTTPServer):
    """Gives the scripted answers in turn, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.seen: list[Seen] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(Seen(self.command, self.path, dict(self.headers), body))
        answer = self.server.answers.pop(0)
        if answer.hang_up:
            self.close_connection = True
            return
        content = b"" if answer.document is None else json.dumps(answer.document).encode()
        self.send_response_only(answer.status)
        for name, value in {"Date": self.date_time_string(), **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815  # http.server's names

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the tests read `seen`."""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


class Kit:
    """byob.py as an author runs it: in a directory, with an environment that has nothing else of theirs."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "BYOB_URL": url,
            "NO_PROXY": "127.0.0.1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self, *arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(SCRIPT), *arguments]
        environment = {**self.environment, "TERM": "xterm"}
        return subprocess.Popen(command, cwd=self.directory, env=environment, stdout=subprocess.PIPE, stderr=stderr)

    def run(self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Ended:
        ended = self.run_failing(*arguments, stdin=stdin, environment=environment)
        assert "Traceback" not in ended.err
        return ended

    def run_failing(self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Ended:
        """Run it where the author's own code may fail, which is shown with its traceback."""
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *arguments],
            cwd=self.directory,
            env={**self.environment, **(environment or {})},
            input=stdin,
            capture_output=True,
            timeout=20,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def write(self, content: bytes | dict[str, Any], name: str = "bot_config.json") -> str:
        written = content if isinstance(content, bytes) else json.dumps(content).encode()
        (self.directory / name).write_bytes(written)
        return name
