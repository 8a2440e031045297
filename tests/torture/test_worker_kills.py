"""Workers killed in the middle of a job, over the whole stack: every file is done, and no finished one again."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from opensearchpy import OpenSearch
from opensearchpy.helpers import scan

from local.opensearch import OpenSearchNode
from tests.casualties import LOG_THE_FILE, PREFIX, Kills, Site, site
from tests.jobs import batch_jobs, begun, files, finished, registered, results
from tests.proxies import SigningProxy
from tests.support import eventually
from tests.torture.conftest import Torture

Make = Callable[..., dict[str, Any]]
SLICES: Final = 2
_LONG_SECONDS: Final = 1800
_OVER: Final = frozenset({"SUCCEEDED", "FAILED"})


@dataclass(frozen=True)
class Victim:
    """A job whose workers are killed, and that is retried when that was too often for Batch."""

    id: str
    site: Site
    engine: OpenSearch  # the node itself: 10,000 files through the API, at every kill, would be most of the work
    chance: random.Random

    def live(self) -> list[str]:
        """Give the Batch jobs that are not over."""
        return [job["jobId"] for job in batch_jobs(self.site.api, self.id) if job["status"] not in _OVER]

    def attempts(self, *batch_ids: str) -> list[Any]:
        """Give the attempts of Batch jobs that have ended."""
        found = self.site.api.aws("batch").describe_jobs(jobs=list(batch_ids))["jobs"]
        return [attempt for job in found for attempt in job["attempts"]]

    def lost_hosts(self) -> int:
        """Count the attempts of which Batch says that their host went away."""
        every = self.attempts(*(job["jobId"] for job in batch_jobs(self.site.api, self.id)))
        return sum(attempt["statusReason"].startswith("Host EC2") for attempt in every)

    def kill(self) -> bool:
        """Kill one of the workers; tell whether there was one, and it had not ended by itself."""
        batch = self.site.running.aws.batch
        processes = {id: process for id in self.live() if (process := batch.process_of(id))}
        if not processes:
            return False
        batch_id = self.chance.choice(sorted(processes))
        before = len(self.attempts(batch_id))
        os.kill(processes[batch_id], signal.SIGKILL)
        after = eventually(lambda: self.attempts(batch_id), lambda seen: len(seen) > before)
        return bool(after[before]["statusReason"].startswith("Host EC2"))

    def completed(self) -> set[str]:
        """Give the keys of the files that are done."""
        self.engine.indices.refresh(index=f"{PREFIX}-items")
        query = {"query": {"bool": {"filter": [{"term": {"job_id": self.id}}, {"term": {"status": "COMPLETED"}}]}}}
        return {hit["_source"]["file_key"] for hit in scan(self.engine, query, index=f"{PREFIX}-items", size=5000)}

    def retry_if_failed(self) -> Any:
        """Wait for the end of a run of which no Batch job is left; where it failed, begin the next. Give the job."""
        job = finished(self.site.api, self.id, _LONG_SECONDS)
        if job["status"] == "FAILED":
            assert "Host EC2" in job["reason"]
            assert self.site.api("POST", f"/jobs/{self.id}/retry").status == 202
            eventually(self.live, bool)
        return job


def run_with_kills(victim: Victim, torture: Torture, *, count: int, kills: int) -> Kills:
    """See a job to its end, killing one of its workers at each of `kills` random moments."""
    bot = victim.site.bot
    # Evenly random over the work, not over the time, and a second before its end, so that the last one finds a worker.
    due = sorted(victim.chance.sample(range(1, count - 50), kills))
    seen = Kills()
    eventually(victim.live, bool)
    for number, calls in enumerate(due):
        while True:
            eventually(
                lambda: (len(bot.calls()), victim.live()),
                lambda now: now[0] >= calls or not now[1],  # noqa: B023  # waited for within this turn
                _LONG_SECONDS,
            )
            if not victim.live():
                assert victim.retry_if_failed()["status"] == "FAILED"
                continue
            time.sleep(victim.chance.uniform(0, 0.05))  # anywhere within a file
            if victim.kill():
                break
        seen.completed.append(victim.completed())
        seen.calls_until_then.append(len(bot.calls()))  # after it: what was COMPLETED then was called for before
        torture.progress(f"files, {number + 1} of {kills} kills", len(seen.completed[-1]), count)
    while victim.retry_if_failed()["status"] == "FAILED":
        pass
    return seen


def test_a_job_whose_workers_are_killed_completes_every_file_once(
    torture: Torture, node: OpenSearchNode, signed_opensearch: SigningProxy, configuration: Make, tmp_path: Path
) -> None:
    # Two slices have 18 attempts that Batch makes again by itself, so that 20 kills make a retry of the job necessary.
    count, kills, retries = torture.size((10_000, 20, 1), short=(200, 3, 0))
    keys = [f"{number % 7}/{number:05}.txt" for number in range(count)]
    with site(signed_opensearch.url, tmp_path) as here, OpenSearch(hosts=[node.url], timeout=60) as engine:
        here.bot.write_task(LOG_THE_FILE)
        bucket = here.uploaded(keys)
        bot = registered(here.api, configuration(file_types=".txt"))
        began = time.monotonic()
        id = begun(here.api, bot, bucket, number_of_bots=SLICES)
        victim = Victim(id, here, engine, random.Random(kills))

        seen = run_with_kills(victim, torture, count=count, kills=kills)

        seconds, calls, job = time.monotonic() - began, here.bot.calls(), here.api("GET", f"/jobs/{id}").json
        lost_hosts = victim.lost_hosts()
        completed = [file["file_key"] for file in files(here.api, id) if file["status"] == "COMPLETED"]
        written = results(here.api, bucket)
        right = [key for key in keys if here.result_of(bucket, key) == {"key": key}]

    again = seen.done_again(calls)
    torture.report(
        "worker_kills",
        len(completed),
        "files completed",
        goal=f"all of {count:,}, 0 done again",
        holds=completed == sorted(keys) and not again,
        note=f"{kills} workers killed, {job['run'] - 1} retries of the job, {len(calls) - count} files begun again, "
        f"{len(again)} done again, {count / seconds:,.0f} files/s, {SLICES} slices",
    )
    assert (job["status"], job["counts"]["COMPLETED"], job["files"]) == ("COMPLETED", count, count)
    assert (len(seen.completed), lost_hosts) == (kills, kills)
    assert job["run"] - 1 >= retries
    assert written == sorted(f"results/{key}.json" for key in keys)
    assert right == keys
    assert set(calls) == set(keys)
    assert len(calls) <= count + kills
