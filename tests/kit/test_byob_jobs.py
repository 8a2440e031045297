"""byob.py run, jobs, job, cancel, retry against a recording server: what they send, show, and exit with."""

import json
import os
import pty
import signal
from typing import Any

import pytest

from tests.author import Answer, Kit, Recorder
from tests.support import eventually

ID = "0123456789abcdef0123456789abcdef"
JOB = {
    "job_id": ID,
    "bot_name": "foo_bot",
    "s3_bucket": "media",
    "s3_path": "2026/",
    "output_s3_bucket": "results",
    "output_s3_prefix": "tags",
    "number_of_bots": 4,
    "status": "QUEUED",
    "reason": "",
    "run": 1,
    "created_date": "2026-11-24 04:31:07",
    "files": 0,
    "counts": {"NOT_STARTED": 0, "PROCESSING": 0, "COMPLETED": 0, "ERROR": 0},
    "percent": 0.0,
    "files_per_second": None,
    "seconds_left": None,
}
RUN = ("run", "foo_bot", "s3://media/2026/", "--out", "s3://results/tags", "--bots", "4")


def job(status: str, *, completed: int = 0, error: int = 0, left: int = 0, **more: Any) -> dict[str, Any]:
    counts = {"NOT_STARTED": left, "PROCESSING": 0, "COMPLETED": completed, "ERROR": error}
    return {**JOB, "status": status, "files": completed + error + left, "counts": counts, **more}


def test_run_starts_the_job_watches_it_and_prints_it(kit: Kit, service: Recorder) -> None:
    halfway = job("RUNNING", completed=1000, left=500, files_per_second=12.5, seconds_left=40)
    service.answers = [Answer(202, JOB), *(Answer(200, each) for each in (halfway, job("COMPLETED", completed=1500)))]

    ended = kit.run(*RUN)

    assert ended.code == 0
    assert (service.seen[0].method, service.seen[0].path) == ("POST", "/jobs")
    assert json.loads(service.seen[0].body) == {
        "bot_name": "foo_bot",
        "s3_bucket": "media",
        "s3_path": "2026/",
        "output_s3_bucket": "results",
        "output_s3_prefix": "tags",
        "number_of_bots": 4,
    }
    assert [seen.path for seen in service.seen[1:]] == [f"/jobs/{ID}"] * 2
    assert ended.err.splitlines() == [
        f"started job {ID}",
        "RUNNING: 1,000 of 1,500 files, 12.5 files/s, 40 s left",
        "COMPLETED: 1,500 of 1,500 files",
    ]
    assert "s3://media/2026/" in ended.out


def test_a_start_whose_answer_was_lost_is_repeated_with_the_same_key(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(0, hang_up=True), Answer(202, JOB)]

    ended = kit.run(*RUN, "--no-wait", "--json")
    kit_again = [seen.headers["Idempotency-Key"] for seen in service.seen]
    service.answers = [Answer(202, JOB)]
    kit.run(*RUN, "--no-wait")

    assert json.loads(ended.out)["job_id"] == ID
    assert kit_again[0] == kit_again[1] != service.seen[2].headers["Idempotency-Key"]


@pytest.mark.parametrize(
    ("place", "bucket", "path"),
    [
        ("s3://media", "media", ""),
        ("s3://media/", "media", ""),
        ("s3://media/a b/#1?/%20+", "media", "a b/#1?/%20+"),
        ("s3://media//a", "media", "/a"),
    ],
)
def test_a_place_in_s3_is_taken_as_it_is(kit: Kit, service: Recorder, place: str, bucket: str, path: str) -> None:
    service.answers = [Answer(202, JOB)]

    kit.run("run", "foo_bot", place, "--out", "s3://results", "--no-wait")

    sent = json.loads(service.seen[0].body)
    assert (sent["s3_bucket"], sent["s3_path"], sent["output_s3_prefix"]) == (bucket, path, "")


@pytest.mark.parametrize("place", ["media/2026", "s3:media", "s3:///2026", "https://media/2026"])
def test_what_is_no_place_in_s3_is_refused_before_anything_is_sent(kit: Kit, service: Recorder, place: str) -> None:
    ended = kit.run("run", "foo_bot", place, "--out", "s3://results")

    assert (ended.code, service.seen) == (1, [])
    assert f"'{place}' is no place in S3" in ended.err


def test_a_refused_job_is_shown_with_all_its_violations(kit: Kit, service: Recorder) -> None:
    errors = [{"pointer": "/bot_name", "detail": "no bot named 'foo_bot' is registered"}]
    service.answers = [Answer(422, {"detail": "the job breaks 1 rule: /bot_name", "errors": errors})]

    ended = kit.run(*RUN)

    assert ended.code == 1
    assert "bot_name: no bot named 'foo_bot' is registered" in ended.err


def test_a_job_with_errors_fails_and_says_where_the_reasons_are(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(202, JOB), Answer(200, job("COMPLETED_WITH_ERRORS", completed=998, error=2))]

    ended = kit.run(*RUN)

    assert ended.code == 1
    assert "the job ended as COMPLETED_WITH_ERRORS: 1,000 of 1,000 files, 2 errors" in ended.err
    assert f"the reasons: python3 byob.py job {ID} --errors" in ended.err
    assert f"python3 byob.py retry {ID}" in ended.err
    assert "998" in ended.out


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_a_job_that_did_not_complete_fails_with_its_reason(kit: Kit, service: Recorder, status: str) -> None:
    service.answers = [Answer(200, job(status, completed=1, left=9, reason="the bucket 'media' does not exist"))]

    ended = kit.run("job", ID, "--wait")

    assert ended.code == 1
    assert f"the job ended as {status}: 1 of 10 files\n  the bucket 'media' does not exist\n" in ended.err


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(202, JOB), *[Answer(200, job("RUNNING", completed=1, left=99))] * 100]

    with kit.start(*RUN) as watching:
        eventually(lambda: len(service.seen), lambda seen: seen >= 3)
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=20)

    assert watching.returncode == 130
    assert {(seen.method, seen.path) for seen in service.seen} == {("POST", "/jobs"), ("GET", f"/jobs/{ID}")}
    assert f"the job goes on; to watch it: python3 byob.py job {ID} --wait" in told.decode()
    assert f"to end it: python3 byob.py cancel {ID}" in told.decode()


def test_on_a_terminal_there_is_a_bar(kit: Kit, service: Recorder) -> None:
    halfway = job("RUNNING", completed=30, error=20, left=50, files_per_second=2.0, seconds_left=25)
    service.answers = [Answer(202, JOB), *[Answer(200, halfway)] * 3, Answer(200, job("COMPLETED", completed=100))]
    ours, theirs = pty.openpty()

    with kit.start(*RUN, stderr=theirs) as watching:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 10_000)
            except OSError:  # Linux's way to say that the other side has closed
                break
        watching.communicate(timeout=20)
    os.close(ours)

    assert watching.returncode == 0
    assert "RUNNING" in shown.decode()
    assert "━" in shown.decode()
    assert "50 of 100 files, 2.0 files/s" in shown.decode()


def test_a_service_that_goes_away_while_a_job_is_watched_leaves_a_hint(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(202, JOB), Answer(500, {"detail": "an error that nobody foresaw"})]

    ended = kit.run(*RUN)

    assert ended.code == 1
    assert f"the job may go on; to watch it: python3 byob.py job {ID} --wait" in ended.err


def test_jobs_are_listed_with_filters(kit: Kit, service: Recorder) -> None:
    service.answers = [
        Answer(200, {"jobs": [JOB], "next_token": "more"}),
        Answer(200, {"jobs": [], "next_token": None}),
    ]

    listed = kit.run("jobs", "--bot", "foo_bot", "--status", "RUNNING", "--limit", "1")
    none = kit.run("jobs")

    assert service.seen[0].path == "/jobs?limit=1&bot_name=foo_bot&status=RUNNING"
    assert ID in listed.out
    assert (none.out, none.err) == ("", "no jobs are known\n")


def test_a_job_is_shown_with_its_counts(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(200, job("RUNNING", completed=7, left=3))] * 2

    shown, data = kit.run("job", ID), kit.run("job", ID, "--json")

    assert shown.code == 0
    rows = dict(line.split(maxsplit=1) for line in shown.out.splitlines() if line.strip())
    assert (rows["Status"].strip(), rows["COMPLETED"].strip(), rows["ERROR"].strip()) == ("RUNNING", "7", "0")
    assert json.loads(data.out)["counts"]["NOT_STARTED"] == 3


def test_errors_are_grouped_by_reason_over_all_pages(kit: Kit, service: Recorder) -> None:
    def file(key: str, code: str, error: str) -> dict[str, str]:
        return {"file_key": key, "error_code": code, "error": error, "status": "ERROR"}

    gone = [
        file(f"{number}.jpg", "NoSuchKey", f"s3://media/{number}.jpg does not exist any more") for number in range(5)
    ]
    service.answers = [
        Answer(200, {"files": [file("a.jpg", "ValueError", "no page"), *gone[:3]], "next_token": "more"}),
        Answer(200, {"files": gone[3:], "next_token": None}),
    ]

    ended = kit.run("job", ID, "--errors", "--json")

    assert [seen.path for seen in service.seen] == [
        f"/jobs/{ID}/files?limit=100&status=ERROR",
        f"/jobs/{ID}/files?limit=100&status=ERROR&next_token=more",
    ]
    assert json.loads(ended.out) == [
        {
            "error_code": "NoSuchKey",
            "error": "s3://media/… does not exist any more",
            "files": 5,
            "examples": ["0.jpg", "1.jpg", "2.jpg"],
        },
        {"error_code": "ValueError", "error": "no page", "files": 1, "examples": ["a.jpg"]},
    ]


def test_cancel_says_what_it_does_and_shows_the_job(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(202, job("CANCELLING")), Answer(200, job("CANCELLING"))]

    ended = kit.run("cancel", ID)

    assert (service.seen[0].method, service.seen[0].path) == ("POST", f"/jobs/{ID}/cancel")
    assert (ended.code, ended.err) == (0, f"cancelling job {ID}\n")
    assert "CANCELLING" in ended.out


def test_retry_watches_the_job_again(kit: Kit, service: Recorder) -> None:
    service.answers = [Answer(202, job("QUEUED", completed=998, left=2)), Answer(200, job("COMPLETED", completed=1000))]

    ended = kit.run("retry", ID)

    assert (service.seen[0].method, service.seen[0].path) == ("POST", f"/jobs/{ID}/retry")
    assert ended.code == 0


@pytest.mark.parametrize("operation", ["cancel", "retry"])
def test_a_job_for_which_there_is_nothing_to_do_is_told(kit: Kit, service: Recorder, operation: str) -> None:
    service.answers = [Answer(409, {"detail": "the job has finished"})]

    ended = kit.run(operation, ID)

    assert (ended.code, ended.err) == (1, "Error: the job has finished\n")


def test_a_retry_whose_answer_was_lost_is_no_failure(kit: Kit, service: Recorder) -> None:
    running = job("RUNNING", completed=998, left=2)
    service.answers = [
        Answer(0, hang_up=True),
        Answer(409, {"detail": "the job is still running"}),
        Answer(200, running),
    ]

    ended = kit.run("retry", ID, "--no-wait")

    assert ended.code == 0


@pytest.mark.parametrize("id", ["foo", "../bots/foo_bot", ID.upper()])
def test_what_is_no_jobs_id_is_not_sent(kit: Kit, service: Recorder, id: str) -> None:
    ended = kit.run("job", id)

    assert (ended.code, service.seen) == (1, [])
    assert f"'{id}' is no job's id" in ended.err
