from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.errors import JobStateError, JobStoppedError
from shared.jobs.item import ItemStatus
from shared.jobs.progress import outcome, progress
from shared.jobs.record import Job, JobStatus
from shared.jobs.sum_up import reason_of

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
REQUEST: dict[str, Any] = {
    "bot_name": "tagger",
    "s3_bucket": "media",
    "s3_path": "",
    "output_s3_bucket": "tags",
    "output_s3_prefix": "",
    "number_of_bots": 4,
    "bulk_size": 500,
}
BOT = {
    "bot_image": "tagger:1",
    "bot_image_cmd": "",
    "bot_vcpu": "",
    "bot_mem": "",
    "endpoint_name": "tags",
    "file_types": ".jpg",
}


@pytest.fixture
def job() -> Job:
    return replace(Job.new("0" * 32, REQUEST, BOT, NOW), listed=True)


def counts(waiting: int = 0, busy: int = 0, completed: int = 0, error: int = 0) -> dict[ItemStatus, int]:
    return dict(zip(ItemStatus, (waiting, busy, completed, error), strict=True))


def test_rate_and_time_left_are_those_of_this_run(job: Job) -> None:
    running = job.running(1, 100, NOW)

    shown = progress(running, counts(waiting=60, busy=20, completed=115, error=5), NOW + timedelta(seconds=10))

    assert (shown["files"], shown["percent"]) == (200, 60.0)
    assert (shown["files_per_second"], shown["seconds_left"]) == (2.0, 40)


def test_nothing_is_foretold_before_a_file_is_finished(job: Job) -> None:
    shown = progress(job.running(1, 0, NOW), counts(waiting=5), NOW + timedelta(seconds=10))

    assert (shown["files_per_second"], shown["seconds_left"], shown["percent"]) == (None, None, 0.0)


def test_a_hundred_percent_means_that_nothing_is_left(job: Job) -> None:
    assert progress(job, counts(waiting=1, completed=999_999), NOW)["percent"] == 99.9
    assert progress(job, counts(completed=1_000_000), NOW)["percent"] == 100.0
    assert progress(job.ended(JobStatus.COMPLETED, "", NOW), counts(), NOW)["percent"] == 100.0
    assert progress(job, counts(), NOW)["percent"] == 0.0


@pytest.mark.parametrize(
    ("listed", "found", "why", "expected"),
    [
        (True, counts(completed=3), "", (JobStatus.COMPLETED, "")),
        (True, counts(), "", (JobStatus.COMPLETED, "")),
        (
            True,
            counts(completed=1, error=2),
            "",
            (JobStatus.COMPLETED_WITH_ERRORS, "2 of 3 files were refused by the bot"),
        ),
        (True, counts(busy=1, error=2), "it ended", (JobStatus.FAILED, "1 of 3 files was not finished: it ended")),
        (False, counts(waiting=2), "no bucket", (JobStatus.FAILED, "no bucket")),
        (False, counts(), "", (JobStatus.FAILED, "the listing of its files did not come to an end")),
    ],
)
def test_how_a_run_ended(
    job: Job, listed: bool, found: dict[ItemStatus, int], why: str, expected: tuple[JobStatus, str]
) -> None:
    assert outcome(replace(job, listed=listed), found, why) == expected


def test_a_step_that_is_repeated_leads_no_further_back(job: Job) -> None:
    running = job.running(1, 0, NOW)

    later = NOW + timedelta(hours=1)
    assert running.advanced(JobStatus.WAITING, 1, later) == running.running(1, 9, later) == running


@pytest.mark.parametrize("status", [JobStatus.CANCELLING, JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.COMPLETED])
def test_a_step_of_a_job_that_has_ended_or_gone_on_is_stopped(job: Job, status: JobStatus) -> None:
    with pytest.raises(JobStoppedError):
        replace(job, status=status).advanced(JobStatus.LISTING, 1, NOW)
    with pytest.raises(JobStoppedError):
        job.ended(JobStatus.FAILED, "", NOW).retried(BOT, NOW).advanced(JobStatus.LISTING, 1, NOW)


def test_a_retry_takes_over_the_bot_as_it_is_by_then(job: Job) -> None:
    with pytest.raises(JobStateError):
        job.retried(BOT, NOW)

    again = job.ended(JobStatus.FAILED, "broken image", NOW).retried({**BOT, "bot_image": "tagger:2"}, NOW)

    assert (again.run, again.status, again.reason, again.bot_image) == (2, JobStatus.QUEUED, "", "tagger:2")
    assert (again.started_date, again.finished_date, again.file_types) == ("", "", ".jpg")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (None, ""),
        ({"Error": "JobCannotRunError", "Cause": '{"errorType": "JobCannotRunError", "errorMessage": "no"}'}, "no"),
        (
            {"Error": "KeyError", "Cause": '{"errorType": "KeyError", "errorMessage": "secret"}'},
            "the platform failed at it (KeyError); its log has the reason",
        ),
        (
            {"Error": "States.Timeout", "Cause": ""},
            "the platform failed at it (States.Timeout); its log has the reason",
        ),
        ({"Error": "X", "Cause": "not JSON"}, "the platform failed at it (X); its log has the reason"),
    ],
)
def test_what_a_state_caught_is_put_into_a_sentence(error: dict[str, str] | None, sentence: str) -> None:
    assert reason_of(error) == sentence
