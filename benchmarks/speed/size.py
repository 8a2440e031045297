"""What a deployment weighs: the package that all functions ship, and the memory that each kind of function needs."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from benchmarks.first_event import Context
from benchmarks.part import Run
from benchmarks.report import Result, at_most
from benchmarks.serving import serving
from benchmarks.shipped import shipped
from local.aws import CREDENTIALS
from local.stack import environment_of
from local.template import ROOT, document, functions
from tools.package import MAX_UNPACKED_BYTES, size_bytes


@dataclass(frozen=True, slots=True)
class _Kind:
    """One function of a kind, with what it is asked in turn."""

    handler: str
    does: str


_KINDS: Final = {
    "memory_get": _Kind("get_bot", "one read"),
    "memory_list": _Kind("list_bots", "one page"),
    "memory_create": _Kind("create_bot", "one registration, its endpoint looked for and triggered"),
    "memory_provision_endpoint": _Kind("provision_endpoint", "one endpoint made"),
    "memory_create_job": _Kind("create_job", "one job"),
    "memory_list_files": _Kind("list_files", "a listing of {keys:,} keys"),
}
NAMES: Final = ("package_size", *_KINDS)


def measure(run: Run) -> Iterable[Result]:
    """Weigh the package, and have a function of each kind answer its first events in a new process."""
    ships = shipped(build=not run.short)
    if ships.package:
        size = size_bytes(ships.package) / 1e6
        yield at_most("package_size", size, "MB", MAX_UNPACKED_BYTES / 1e6, note="unpacked; Lambda's limit is 250 MB")
    keys = 2_000 if run.short else 20_000
    with serving("benchmarks.aws") as aws_url, serving("benchmarks.lister", str(keys)) as s3_url:
        here = {"INDEX_PREFIX": os.environ["INDEX_PREFIX"], "AWS_ENDPOINT_URL_S3": s3_url}
        environment = environment_of(run.opensearch_url, aws_url) | CREDENTIALS | here
        events = _events(environment)
        for name, kind in _KINDS.items():
            seen = ships.answer(f"handlers.{kind.handler}.handler", [events[kind.handler]], environment)
            assert seen.status in (0, 200, 201, 202), (name, seen.status)
            note = f"peak after {kind.does.format(keys=keys)}; it is given {_given_mb(kind.handler)} MB"
            yield Result(name, seen.peak_mb, "MB", note="; ".join(filter(None, (note, ships.note))))


def _events(environment: Mapping[str, str]) -> dict[str, Any]:
    """Store what the events are about; give one for each function."""
    os.environ.update(environment)
    from handlers import create_bot, create_job  # noqa: PLC0415 - after the environment is set

    samples = {kind.handler: _sample(kind.handler) for kind in _KINDS.values()}
    assert create_bot.handler(samples["create_bot"], Context)["statusCode"] in (200, 201)
    made = create_job.handler(samples["create_job"], Context)
    assert made["statusCode"] == 202, made
    fields = {**json.loads(samples["create_bot"]["body"]), "name": f"new-{uuid4().hex[:8]}", "endpoint_name": "new"}
    samples["create_bot"] = {**samples["create_bot"], "body": json.dumps(fields)}
    samples["list_files"] = {"job_id": json.loads(made["body"])["job_id"], "run": 1}
    return samples


def _sample(handler: str) -> Any:
    return json.loads((ROOT / "events" / f"{handler}.json").read_text())


def _given_mb(handler: str) -> int:
    read = document()
    (id,) = [function.id for function in functions().values() if function.handler == f"handlers.{handler}.handler"]
    properties = read["Resources"][id]["Properties"]
    given: int = properties.get("MemorySize", read["Globals"]["Function"]["MemorySize"])
    return given
