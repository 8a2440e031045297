"""Workers killed at random moments, and bad files among many: nothing is lost, done twice or held up.

`make torture` does the same in large, over the whole stack.
"""

import random
import time

from tests.casualties import LOG_THE_FILE, TWO_BAD_ONES, Kills, reasons_of_the_bad_ones, with_two_bad_ones
from tests.slices import Job
from tests.support import eventually


def work_with_kills(job: Job, *, slices: int, kills: int, seed: int) -> Kills:
    """Run one worker a slice until all have ended well, killing one of them at each of `kills` random moments.

    As AWS Batch does, the worker of a slice is started again after it was killed.
    """
    chance = random.Random(seed)
    total = len(job.items())
    # Evenly random over the work, not over the time, so that all kills hit workers that have something to do.
    due = sorted(chance.sample(range(1, total - slices * 2), kills))
    workers = {str(number): job.start(batch_id=str(number)) for number in range(1, slices + 1)}
    seen = Kills()
    for calls in due:
        eventually(lambda: len(job.calls()), calls.__le__, seconds=120)
        time.sleep(chance.uniform(0, 0.05))  # anywhere within a file
        batch_id = chance.choice([number for number, worker in workers.items() if worker.poll() is None])
        workers[batch_id].kill()
        workers[batch_id].wait()
        seen.completed.append({key for key, status in job.statuses().items() if status == "COMPLETED"})
        seen.calls_until_then.append(len(job.calls()))  # after it: what was COMPLETED then was called for before
        workers[batch_id] = job.start(batch_id=batch_id)
    for worker in workers.values():
        assert worker.wait(240) == 0, job.said()
    return seen


def test_workers_killed_at_random_lose_no_file_and_do_no_finished_one_again(job: Job) -> None:
    slices, kills = 2, 5
    keys = [f"{number % 7}/{number:05}.txt" for number in range(300)]
    job.write_task(LOG_THE_FILE)
    job.add({key: key.encode() for key in keys}, slices=slices)

    seen = work_with_kills(job, slices=slices, kills=kills, seed=len(keys))

    calls = job.calls()
    assert len(seen.completed) == kills
    assert job.statuses() == dict.fromkeys(keys, "COMPLETED")
    assert sorted(job.result_keys()) == sorted(f"{job.id}/{key}.json" for key in keys)
    assert seen.done_again(calls) == set()
    assert len(calls) <= len(keys) + kills
    assert all(job.result_of_key(f"{job.id}/{key}.json") == {"key": key} for key in keys)


def test_one_file_that_raises_and_one_that_hangs_are_the_only_ones_lost(job: Job) -> None:
    timeout_seconds = 2
    every, well = with_two_bad_ones(60)
    job.write_task(TWO_BAD_ONES, timeout_seconds=timeout_seconds)
    job.add({key: key.encode() for key in every})

    code, log = job.work()

    items = job.items()
    lost = {key: (item["error_code"], item["error"]) for key, item in items.items() if item["status"] == "ERROR"}
    assert code == 0, log
    assert lost == reasons_of_the_bad_ones(timeout_seconds)
    assert [item["status"] for item in items.values()].count("COMPLETED") == len(well)
    assert sorted(job.result_keys()) == sorted(f"{job.id}/{key}.json" for key in well)
