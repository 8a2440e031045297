"""`make bench`: how fast the product is, each figure beside a raw measurement taken in the same run.

ONLY=NAME runs the part that has that result; SHORT=1 shows in two minutes that every part works, and judges no time.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks import plot
from benchmarks.part import in_process, part
from benchmarks.report import RESULTS, Result, print_table, write_json
from local.opensearch import DEFAULT_CACHE, OpenSearchNode

PARTS: Final = ("warm", "cold", "lists", "throughput", "job_plan", "size")


def main() -> int:
    """Print the table, keep the results; 1 where a goal is missed, 2 for an unknown name."""
    only, short = os.environ.get("ONLY", ""), bool(os.environ.get("SHORT"))
    chosen = [name for name in PARTS if only in ("", name, *part(name).NAMES)]
    if not chosen:
        names = ", ".join(result for name in PARTS for result in part(name).NAMES)
        print(f"error: ONLY={only} is none of {', '.join(PARTS)}, {names}", file=sys.stderr)
        return 2
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as data, OpenSearchNode(Path(data), DEFAULT_CACHE) as node:
        for number, name in enumerate(chosen, start=1):
            begun = time.monotonic()
            print(f"{number} of {len(chosen)}: {name} ({', '.join(part(name).NAMES)})", file=sys.stderr, flush=True)
            results += in_process(name, node.url, short=short)
            print(f"  {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    if short:
        print_table("every part works; this was too short to judge a time by", results)
        return 0
    print_table("speed", results)
    kept = write_json(RESULTS / "bench.json", results)
    plot.speed(kept, RESULTS / "bench.svg")
    return int(any(result.holds is False for result in results))


if __name__ == "__main__":
    sys.exit(main())
