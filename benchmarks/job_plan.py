"""`make bench`: the planner's memory for 20,000 and for 200,000 keys, and its rate beside the raw calls.

Every figure comes from a process of its own, against the same node and an S3 that only lists.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from local.opensearch import DEFAULT_CACHE, OpenSearchNode
from local.stack import environment_of
from local.template import ROOT

FEW: Final = 20_000
MANY: Final = 200_000
GOAL: Final = 1.15
ROUNDS: Final = 5
_numbers = itertools.count(1)


def main() -> int:
    """Print the table; 1 where the goal is missed."""
    with tempfile.TemporaryDirectory() as data, OpenSearchNode(Path(data), DEFAULT_CACHE) as node:
        _measured(node.url, "raw", FEW)  # a node that has just begun is slower
        few = _measured(node.url, "plan", FEW)
        many = _measured(node.url, "plan", MANY)
        rounds = [(_measured(node.url, "plan", FEW), _measured(node.url, "raw", FEW)) for _ in range(ROUNDS)]
    growth = many["rss_mb"] / few["rss_mb"]
    planned, raw = (statistics.median(FEW / run["seconds"] for run in runs) for runs in zip(*rounds, strict=True))
    ratio = statistics.median(plan["seconds"] / bare["seconds"] for plan, bare in rounds)
    print("planner of a job's work list, each run in a process of its own")
    print(f"  {FEW:>7,} keys   peak RSS {few['rss_mb']:6.1f} MB")
    print(f"  {MANY:>7,} keys   peak RSS {many['rss_mb']:6.1f} MB   {MANY / many['seconds']:7,.0f} keys/s")
    print(f"  peak RSS grows by a factor of {growth:.3f}, goal at most {GOAL}")
    print(f"rate, p50 over {ROUNDS} rounds of {FEW:,} keys, interleaved with its reference")
    print(f"  planner                              {planned:7,.0f} keys/s")
    print(f"  raw urllib3, the same pages and bulks {raw:6,.0f} keys/s")
    print(f"  time ratio {ratio:.2f}")
    return int(growth > GOAL)


def _measured(opensearch_url: str, what: str, count: int) -> dict[str, float]:
    with _lister(count) as s3_url:
        environment = {
            **os.environ,
            **environment_of(opensearch_url, "http://127.0.0.1:9"),
            "AWS_ENDPOINT_URL_S3": s3_url,
            "INDEX_PREFIX": f"bench-{next(_numbers)}",
            "OPENSEARCH_TIMEOUT_SECONDS": "20",
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        }
        command = [sys.executable, "-m", "benchmarks.job_plan_run", what, str(count)]
        run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    measured: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return measured


@contextmanager
def _lister(count: int) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.lister", str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
