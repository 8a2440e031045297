"""One run of the planner, or of the bare calls that it stands on, in a process that loads nothing else.

`python -m benchmarks.job_plan_run plan|raw COUNT` prints {"seconds", "peak_mb"}.
"""

import hashlib
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import urllib3

BULK_SIZE: Final = 500
JOB: Final[dict[str, Any]] = {
    "bot_name": "tagger",
    "s3_bucket": "media",
    "s3_path": "pictures/",
    "output_s3_bucket": "tags",
    "output_s3_prefix": "",
    "number_of_bots": 50,
    "bulk_size": BULK_SIZE,
}
BOT: Final = {
    "bot_image": "tagger:1",
    "bot_image_cmd": "",
    "bot_vcpu": "",
    "bot_mem": "",
    "endpoint_name": "tags",
    "file_types": ".jpg",
}


def plan(count: int) -> Callable[[], None]:
    """Make ready to plan as the function does, an invocation after the other."""
    import handlers.list_files  # noqa: F401, PLC0415 - all that the function loads; the raw run is not to
    from shared import clock  # noqa: PLC0415
    from shared.jobs.items import items  # noqa: PLC0415
    from shared.jobs.list_files import Place, list_files  # noqa: PLC0415
    from shared.jobs.objects import objects  # noqa: PLC0415
    from shared.jobs.record import Job  # noqa: PLC0415
    from shared.jobs.registry import jobs  # noqa: PLC0415

    job = Job.new("0" * 32, JOB, BOT, clock.now())
    jobs().create(job)

    def run() -> None:
        place = Place()
        while not place.done:
            pages = itertools.count(1)
            place = list_files(
                job.job_id,
                job.run,
                place,
                jobs=jobs(),
                items=items(),
                objects=objects(),
                goes_on=lambda pages=pages: next(pages) < 50,  # type: ignore[misc]
            )
        assert place.files == count
        items().refresh()
        assert sum(items().counts(job.job_id).values()) == count

    return run


def raw(count: int) -> Callable[[], None]:
    """Make ready to read the same pages and to write the same documents with bare HTTP calls."""
    pool = urllib3.PoolManager()
    index = f"{os.environ['OPENSEARCH_URL']}/{os.environ['INDEX_PREFIX']}-items"
    keyword = {"type": "keyword"}
    properties = dict.fromkeys(("job_id", "bucket", "file_key", "status", "batch_id", "output", "worker"), keyword)
    numbers = {"attempts": {"type": "integer"}, "size": {"type": "long"}}
    dates = {"created_date": keyword, "update_date": keyword}
    others = {"error": {"type": "text", "index": False}, "error_code": keyword}
    mapping = {"mappings": {"dynamic": "false", "properties": properties | numbers | dates | others}}
    headers = {"Content-Type": "application/json"}
    lines_of_json = {"Content-Type": "application/x-ndjson"}
    assert pool.request("PUT", index, body=json.dumps(mapping).encode(), headers=headers).status == 200

    def run() -> None:
        after, written = "", 0
        while written < count:
            fields = {"list-type": "2", "prefix": "pictures/", "start-after": after, "max-keys": "1000"}
            page = pool.request("GET", f"{os.environ['AWS_ENDPOINT_URL_S3']}/media", fields=fields)
            found = re.findall("<Key>([^<]+)</Key>", page.data.decode())
            for begin in range(0, len(found), BULK_SIZE):
                lines = []
                for number, key in enumerate(found[begin : begin + BULK_SIZE], start=written):
                    document = {
                        "job_id": "0" * 32,
                        "bucket": "media",
                        "file_key": key,
                        "status": "NOT_STARTED",
                        "batch_id": str(number % 50 + 1),
                        "output": "",
                        "worker": "",
                        "error": "",
                        "error_code": "",
                        "attempts": 0,
                        "size": 1,
                        "created_date": "2026-11-24 09:30:00",
                        "update_date": "2026-11-24 09:30:00",
                    }
                    id = hashlib.sha256(f"{'0' * 32}\nmedia\n{key}".encode()).hexdigest()[:40]
                    lines += [f'{{"create":{{"_id":"{id}"}}}}', json.dumps(document)]
                body = ("\n".join(lines) + "\n").encode()
                answer = pool.request("POST", f"{index}/_bulk", body=body, headers=lines_of_json)
                assert answer.status == 200
                assert not answer.json()["errors"]
                written += len(lines) // 2
            after = found[-1]

    return run


def _report(what: str, count: int) -> None:
    run = (plan if what == "plan" else raw)(count)
    begun = time.perf_counter()
    run()
    seconds = time.perf_counter() - begun
    # proc(5), VmHWM: getrusage's ru_maxrss begins with what the parent had when it started this process.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak_kb = int(status["VmHWM"].split()[0])
    print(json.dumps({"seconds": seconds, "peak_mb": peak_kb / 1024}))


if __name__ == "__main__":
    _report(sys.argv[1], int(sys.argv[2]))
