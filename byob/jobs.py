"""Jobs as their author sees them: started, watched until they end, and their errors by reason."""

import json
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from display import print_json, print_table
from service import Job, Options, Service, job_path
from words import Failure, harmless, say

ENDED = {"COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED"}
LOOK_AGAIN_SECONDS = (0.5, 2.0)  # while a job is watched: from, to
EXAMPLES = 3  # file names shown for each reason
SHOWN = (
    ("Job", "job_id"),
    ("Bot", "bot_name"),
    ("Status", "status"),
    ("Reason", "reason"),
    ("Files in", "from"),
    ("Results in", "to"),
    ("Bots", "number_of_bots"),
    ("Run", "run"),
    ("Files", "files"),
    ("Created", "created_date"),
    ("Started", "started_date"),
    ("Finished", "finished_date"),
)


def location(address: str) -> tuple[str, str]:
    """Take s3://bucket/prefix apart; raise a Failure where it is none. The prefix is taken as it is, "" for none."""
    scheme, separator, rest = address.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise Failure(f"'{address}' is no place in S3 such as s3://bucket/prefix")
    return bucket, prefix


def begin(service: Service, document: Mapping[str, Any]) -> Job:
    """Start a job; the key makes an attempt that is repeated, its answer having got lost, no second job."""
    body = json.dumps(document).encode()
    return service.data(service.call("POST", "/jobs", body=body, idempotency_key=uuid.uuid4().hex))


def watched(service: Service, id: str) -> Job:
    """Fetch a job again and again until it has ended, with a bar on a terminal; each change of its status is said."""
    console = Console(stderr=True)
    seen = sys.stderr.isatty() and not console.is_dumb_terminal
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        console=console,
        transient=True,
    )
    task = progress.add_task("", total=None, told="")
    before: Job = {}
    pause, (shortest, longest) = 0.0, LOOK_AGAIN_SECONDS
    with progress if seen else nullcontext():
        while True:
            job = service.job(id)
            if not seen and job.get("status") != before.get("status"):
                say(f"{job.get('status')}{told_in(job)}")
            show_progress(progress, task, job)
            if job.get("status") in ENDED:
                return job
            before = job
            pause = min(max(pause * 1.5, shortest), longest)
            time.sleep(pause)


def show_progress(progress: Progress, task: TaskID, job: Job) -> None:
    """Bring the bar to what is known: how much there is to do shows once all files are listed."""
    done = counted(job, "COMPLETED") + counted(job, "ERROR")
    total = job.get("files") if job.get("status") not in {"QUEUED", "WAITING", "LISTING"} else None
    description, told = harmless(str(job.get("status"))), harmless(told_in(job).removeprefix(": "))
    progress.update(task, completed=done, total=total, description=description, told=told)


def counted(job: Job, status: str) -> int:
    """Give how many of a job's files have that status."""
    return int((job.get("counts") or {}).get(status) or 0)


def told_in(job: Job) -> str:
    """Word how far a job is: ": 120 of 1,000 files, 9.5 files/s, 1 min 33 s left, 2 errors"; "" before any file."""
    if not job.get("files"):
        return ""
    done, errors = counted(job, "COMPLETED") + counted(job, "ERROR"), counted(job, "ERROR")
    words = [f"{done:,} of {job['files']:,} files"]
    if job.get("files_per_second"):
        words.append(f"{job['files_per_second']:,.1f} files/s")
    if job.get("seconds_left") is not None and job.get("status") not in ENDED:
        words.append(f"{duration(job['seconds_left'])} left")
    if errors:
        words.append(f"{errors:,} {'error' if errors == 1 else 'errors'}")
    return f": {', '.join(words)}"


def duration(seconds: float) -> str:
    """Word a time by its two largest units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def follow(service: Service, id: str, options: Options) -> None:
    """Watch a job to its end and print it; raise a Failure unless every file was completed.

    Whatever ends the watching before, Ctrl-C above all, leaves the job alone; what to do about it is said.
    """
    further = (f"python3 byob.py job {id} --wait", f"python3 byob.py cancel {id}")
    try:
        job = watched(service, id)
    except KeyboardInterrupt:
        say(f"the job goes on; to watch it: {further[0]}")
        say(f"to end it: {further[1]}")
        raise
    except Failure as failure:
        raise Failure(failure.sentence, *failure.more, f"the job may go on; to watch it: {further[0]}") from failure
    print_job(job, options)
    if job.get("status") != "COMPLETED":
        more = [str(job["reason"])] if job.get("reason") else []
        if counted(job, "ERROR"):
            more.append(f"the reasons: python3 byob.py job {id} --errors")
        more.append(f"to do the rest: python3 byob.py retry {id}")
        raise Failure(f"the job ended as {job.get('status')}{told_in(job)}", *more)


def print_job(job: Job, options: Options) -> None:
    """Print all that there is to know of a job."""
    if options.json:
        print_json(job)
        return
    places = {
        "from": f"s3://{job.get('s3_bucket')}/{job.get('s3_path') or ''}",
        "to": f"s3://{job.get('output_s3_bucket')}/{job.get('output_s3_prefix') or ''}",
    }
    rows = [(heading, {**job, **places}.get(field)) for heading, field in SHOWN]
    rows += [(status, count) for status, count in (job.get("counts") or {}).items()]
    print_table(("", ""), [(heading, str(value)) for heading, value in rows if value not in ("", None)])


def print_jobs(jobs: Iterable[Job]) -> None:
    """Print one row a job."""
    fields = ("job_id", "bot_name", "status", "s3_bucket", "s3_path", "created_date", "finished_date")
    rows = ([job.get(field) for field in fields] for job in jobs)
    print_table(("Job", "Bot", "Status", "Bucket", "Path", "Created", "Finished"), rows)


def errors_of(service: Service, id: str) -> list[dict[str, Any]]:
    """Group a job's files in ERROR by reason, the most frequent first: {"error_code", "error", "files", "examples"}.

    A reason that names its own file is the same reason for each; the name stands as "…" then.
    """
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for page in service.pages(f"{job_path(id)}/files", {"status": "ERROR"}):
        for file in page.get("files") or []:
            key, code = str(file.get("file_key")), str(file.get("error_code"))
            error = str(file.get("error")).replace(key, "…") if key else str(file.get("error"))
            group = groups.setdefault((code, error), {"error_code": code, "error": error, "files": 0, "examples": []})
            group["files"] += 1
            if len(group["examples"]) < EXAMPLES:
                group["examples"].append(key)
    return sorted(groups.values(), key=lambda group: -group["files"])


def print_errors(groups: Iterable[Mapping[str, Any]]) -> None:
    """Print one row a reason."""
    rows = ((each["files"], each["error_code"], each["error"], ", ".join(each["examples"])) for each in groups)
    print_table(("Files", "Code", "Reason", "Such as"), rows)
