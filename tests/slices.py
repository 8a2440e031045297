"""What a worker of the kit needs around it: a bucket, a work list as the contract has it, an endpoint, its process."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import boto3
from opensearchpy import OpenSearch
from opensearchpy.helpers import bulk, scan
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from local.aws import CREDENTIALS, JOB_ROLE, REGION
from local.identities import keys_of
from local.template import ROOT

BOT: Final = ROOT / "byob" / "bot_docker"
#: Of the indices of the platform whose jobs' role these workers have.
PREFIX: Final = "kit"
INDEX: Final = f"{PREFIX}-items"
BUCKET: Final = "media"
RESULTS: Final = "results"
_KEYWORD: Final = {"type": "keyword"}
MAPPING: Final = {
    "dynamic": False,
    "properties": {
        **dict.fromkeys(("job_id", "bucket", "file_key", "status", "batch_id", "output", "worker"), _KEYWORD),
        **dict.fromkeys(("error_code", "created_date", "update_date"), _KEYWORD),
        "error": {"type": "text", "index": False},
        "attempts": {"type": "integer"},
        "size": {"type": "long"},
    },
}


class Endpoints:
    """SageMaker's runtime: answers what `answer` makes of an endpoint's name and a body, and keeps what it was sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.answer: Callable[[str, bytes], Response] = self.size_of
        self._server = make_server("127.0.0.1", 0, self._respond, threaded=True, request_handler=_QuietHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["Endpoints"]:
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield self
        self._server.shutdown()
        thread.join()
        self._server.server_close()

    @staticmethod
    def size_of(name: str, body: bytes) -> Response:
        return Response(json.dumps({"endpoint": name, "bytes": len(body)}), content_type="application/json")

    def _respond(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        _, _, name, operation = request.path.split("/")
        assert (request.method, operation) == ("POST", "invocations")
        body = request.get_data()
        self.seen.append((unquote(name), body))
        return self.answer(unquote(name), body)(environ, start_response)


class _QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def refusal(code: str, status: int, **more: Any) -> Response:
    """Refuse as SageMaker's runtime does."""
    body = json.dumps({"Message": f"{code}, said the endpoint", **more})
    return Response(body, status, {"x-amzn-ErrorType": code}, content_type="application/json")


class Bot:
    """A copy of the kit's bot, whose main_task is the test's own and may keep a log of its calls."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "bot"
        self.log = directory / "main_task.log"
        shutil.copytree(BOT, self.directory, ignore=shutil.ignore_patterns("__pycache__"))

    def write_task(self, main_task: str, *, timeout_seconds: float = 60) -> None:
        """Give the bot its main_task, which finds the path of the log in LOG."""
        source = (
            f"import os, signal, sys, time\nfrom pathlib import Path\nfrom plumbing import invoke_endpoint, start\n"
            f"TIMEOUT_SECONDS = {timeout_seconds}\nLOG = {str(self.log)!r}\n{main_task}\n"
            f"if __name__ == '__main__':\n    start()\n"
        )
        (self.directory / "task.py").write_text(source)

    def calls(self) -> list[str]:
        """Give what main_task has written to the log, a line each."""
        return self.log.read_text().splitlines() if self.log.exists() else []


class Job:
    """One job with its files in S3 and on the work list, and workers for its slices."""

    def __init__(
        self, engine: OpenSearch, domain_url: str, aws_url: str, endpoints: Endpoints, directory: Path
    ) -> None:
        self.id = uuid.uuid4().hex
        self._output = directory / "workers.log"
        self._engine = engine
        self._endpoints = endpoints
        self._bot = Bot(directory)
        keys = {name.lower(): value for name, value in CREDENTIALS.items()}
        self.s3 = boto3.client("s3", endpoint_url=aws_url, region_name=REGION, **keys)
        domain = urlsplit(domain_url)
        self.environment = {
            "region_name": REGION,
            "endpoint_name": "tagger,reader",
            "output_s3_bucket": RESULTS,
            "output_s3_prefix": self.id,
            "es_host": str(domain.hostname),
            "es_port": str(domain.port),
            "es_protocol": "http",
            "es_index": INDEX,
            "batch_id": "1",
            "job_id": self.id,
            **keys_of(JOB_ROLE),
            "AWS_ENDPOINT_URL": aws_url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": endpoints.url,
            "PATH": os.environ["PATH"],
            "TMPDIR": str(directory / "tmp"),
        }
        (directory / "tmp").mkdir()

    def write_task(self, main_task: str, *, timeout_seconds: float = 60) -> None:
        """Give the bot its main_task, which finds the path of the log in LOG."""
        self._bot.write_task(main_task, timeout_seconds=timeout_seconds)

    def add(self, files: Mapping[str, bytes | None], *, slices: int = 1) -> None:
        """Put files into S3, but for those without content, and on the work list, spread over the slices."""
        items = []
        for number, (key, content) in enumerate(files.items()):
            if content is not None:
                self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
            document = {
                "job_id": self.id,
                "bucket": BUCKET,
                "file_key": key,
                "status": "NOT_STARTED",
                "batch_id": str(number % slices + 1),
                "output": "",
                "worker": "",
                "error": "",
                "error_code": "",
                "attempts": 0,
                "size": len(content or b""),
                "created_date": "2026-11-24 04:31:07",
                "update_date": "",
            }
            items.append({"_op_type": "create", "_index": INDEX, "_id": self._item_id(key), **document})
        bulk(self._engine, items, refresh=True)

    def _item_id(self, key: str) -> str:
        return hashlib.sha256(f"{self.id}\n{BUCKET}\n{key}".encode()).hexdigest()[:40]

    def update(self, key: str, fields: Mapping[str, Any]) -> None:
        """Change a file's document as another program would."""
        self._engine.update(index=INDEX, id=self._item_id(key), body={"doc": dict(fields)}, refresh=True)

    def go(self) -> None:
        """Let a main_task go on that waits for the file beside its log."""
        log = self._bot.log
        log.with_name(f"{log.name}.go").touch()

    def start(self, *command: str, batch_id: str = "1", **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker as the image does, with the contract's environment and nothing else."""
        with self._output.open("ab") as output:  # no pipe: a test that reads none would hold the worker up
            return subprocess.Popen(
                [sys.executable, *(command or ("-m", "plumbing"))],
                cwd=self._bot.directory,
                env={**self.environment, "batch_id": batch_id, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def work(self, *command: str, **environment: str) -> tuple[int, str]:
        """Run a worker to its end; give its exit code and its log."""
        said_before = len(self.said())
        with self.start(*command, **environment) as worker:
            code = worker.wait(240)
        return code, self.said()[said_before:]

    def said(self) -> str:
        """Give what all workers have logged."""
        return self._output.read_text() if self._output.exists() else ""

    def items(self) -> dict[str, dict[str, Any]]:
        """Give the documents of the work list by file key."""
        self._engine.indices.refresh(index=INDEX)
        query = {"query": {"term": {"job_id": self.id}}}
        return {hit["_source"]["file_key"]: hit["_source"] for hit in scan(self._engine, query, index=INDEX)}

    def statuses(self) -> dict[str, str]:
        return {key: item["status"] for key, item in self.items().items()}

    def result_of(self, key: str) -> Any:
        """Read the result that the work list names for a file."""
        _, _, path = self.items()[key]["output"].removeprefix(f"s3://{RESULTS}").partition("/")
        return self.result_of_key(path)

    def result_of_key(self, key: str) -> Any:
        """Read what is in the bucket for results under a key."""
        return json.loads(self.s3.get_object(Bucket=RESULTS, Key=key)["Body"].read())

    def result_keys(self) -> list[str]:
        """List the keys of all results."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=RESULTS, Prefix=f"{self.id}/")
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def left_behind(self) -> list[Path]:
        """Give the temporary files that are still there."""
        return list(Path(self.environment["TMPDIR"]).rglob("*"))

    def calls(self) -> list[str]:
        """Give what main_task has written to the log, a line each."""
        return self._bot.calls()
