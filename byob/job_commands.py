"""The commands that run bots: run, jobs, job, cancel, retry."""

from typing import Annotated

import typer

from cli import command
from display import print_list
from jobs import begin, errors_of, follow, location, print_errors, print_job, print_jobs
from service import Service, job_path
from words import say

JobArgument = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Do not watch the job; print it and leave.")]


@command("run")
def run(
    context: typer.Context,
    bot: Annotated[str, typer.Argument(metavar="BOT", help="The bot's name.")],
    files: Annotated[str, typer.Argument(metavar="FILES", help="Where the files are, such as s3://media/2026/.")],
    *,
    out: Annotated[str, typer.Option(metavar="PLACE", help="Where results go, such as s3://results/tags.")],
    bots: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many work at once, each on a part of the files.")
    ] = 1,
    bulk_size: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Files put on the work list at once. [default: the service's]")
    ] = None,
    no_wait: NoWaitOption = False,
) -> None:
    """Run a bot over files in S3, and watch until it has ended; exit with 0 only if every file was completed.

    Ctrl-C leaves the job running.

    Examples:
      python3 byob.py run foo_bot s3://media/2026/ --out s3://results/tags --bots 4
      python3 byob.py run foo_bot s3://media/2026/ --out s3://results/tags --no-wait --json | jq -r .job_id
    """
    bucket, path = location(files)
    output_bucket, prefix = location(out)
    document: dict[str, object] = {
        "bot_name": bot,
        "s3_bucket": bucket,
        "s3_path": path,
        "output_s3_bucket": output_bucket,
        "output_s3_prefix": prefix,
        "number_of_bots": bots,
    }
    if bulk_size:
        document["bulk_size"] = bulk_size
    service = Service(context.obj)
    job = begin(service, document)
    id = str(job.get("job_id"))
    say(f"started job {id}")
    if no_wait:
        print_job(job, context.obj)
    else:
        follow(service, id, context.obj)


@command("jobs")
def list_jobs(
    context: typer.Context,
    bot: Annotated[str | None, typer.Option(help="Only jobs of this bot.")] = None,
    status: Annotated[str | None, typer.Option(help="Only jobs in this status, such as RUNNING.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many to list.")] = 20,
) -> None:
    """List jobs, the newest first.

    Examples:
      python3 byob.py jobs --bot foo_bot --status RUNNING
      python3 byob.py jobs --json | jq -r '.[].job_id'
    """
    filters = {"bot_name": bot, "status": status}
    query = {"limit": str(limit)} | {name: value for name, value in filters.items() if value}
    service = Service(context.obj)
    found = service.data(service.call("GET", "/jobs", query=query)).get("jobs") or []
    print_list(found, "no jobs match" if bot or status else "no jobs are known", print_jobs, context.obj)


@command("job")
def show_job(
    context: typer.Context,
    id: JobArgument,
    *,
    errors: Annotated[bool, typer.Option("--errors", help="Print why files failed, grouped by reason.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it until it has ended; fail unless all is done.")] = False,
) -> None:
    """Print a job, with its files counted by state.

    Examples:
      python3 byob.py job 0123456789abcdef0123456789abcdef --wait
      python3 byob.py job 0123456789abcdef0123456789abcdef --errors
    """
    if errors and wait:
        raise typer.BadParameter("--errors and --wait exclude each other")
    service = Service(context.obj)
    if errors:
        print_list(errors_of(service, id), "no file of the job is in ERROR", print_errors, context.obj)
    elif wait:
        follow(service, id, context.obj)
    else:
        print_job(service.job(id), context.obj)


@command("cancel")
def cancel(context: typer.Context, id: JobArgument) -> None:
    """End a job: files that are done stay done, and `retry` does the others.

    Examples:
      python3 byob.py cancel 0123456789abcdef0123456789abcdef
    """
    service = Service(context.obj)
    service.call("POST", f"{job_path(id)}/cancel")
    say(f"cancelling job {id}")
    print_job(service.job(id), context.obj)


@command("retry")
def retry(context: typer.Context, id: JobArgument, *, no_wait: NoWaitOption = False) -> None:
    """Run a job's files again that are in ERROR or were not finished, and watch; exit with 0 only if all succeed.

    Examples:
      python3 byob.py retry 0123456789abcdef0123456789abcdef
    """
    service = Service(context.obj)
    service.call("POST", f"{job_path(id)}/retry")
    say(f"started job {id} again")
    if no_wait:
        print_job(service.job(id), context.obj)
    else:
        follow(service, id, context.obj)
