"""The commands for bots: init, check, register, show, deploy, list, endpoints, delete."""

import sys
from pathlib import Path
from typing import Annotated

import requests
import typer
from rich.console import Console
from rich.prompt import Confirm
from rich.text import Text

from cli import command
from configuration import DEFAULT_FILE, parsed, read_configuration
from display import endpoints_in, print_bots, print_endpoints, print_json, print_list, print_plan
from service import Service, Unreachable, path_of_existing
from trial import BOT, make_bot, try_main_task
from waiting import show_bot
from words import Failure, harmless, say

WAIT_SECONDS = 1800

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The bot's name.")]
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="The configuration, a JSON file; - reads standard input.")
]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="Wait until the endpoints have settled; fail unless all are InService.")
]
TimeoutOption = Annotated[int, typer.Option(min=0, metavar="SECONDS", help="How long --wait waits.")]
ValidateOnlyOption = Annotated[
    bool, typer.Option("--validate-only", help="Only print what would be done and what is wrong; change nothing.")
]
VALIDATE_ONLY = {"validate_only": "true"}


def seconds_to_wait(timeout: int, *, wait: bool, validate_only: bool = False) -> int | None:
    """Put the options of waiting together; None where the command shall not wait."""
    if wait and validate_only:
        raise typer.BadParameter("--validate-only changes nothing, so --wait has nothing to wait for")
    return timeout if wait else None


@command("init")
def init(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty directory, named as the bot.")],
) -> None:
    """Make a bot that runs as it is: bot_config.json, and bot_docker with the task.py to write your own main_task in.

    Examples:
      python3 byob.py init invoice-reader
    """
    name = make_bot(directory)
    if context.obj.json:
        print_json({"name": name, "directory": str(directory)})
    say(f"made {name} in {directory}: write main_task in {directory / BOT / 'task.py'}, and then")
    say(f"  python3 byob.py check {directory} --sample FILE --stub ANSWER.json")


@command("check")
def check(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The bot's directory.")],
    sample: Annotated[Path, typer.Option(metavar="FILE", help="A local file to call main_task for.")],
    stub: Annotated[
        Path | None, typer.Option(metavar="ANSWER", help="A file with the answer to take for the endpoint's.")
    ] = None,
) -> None:
    """Try a bot before anything is built: main_task on a local file, and bot_config.json by the service's rules.

    main_task runs as in the image, but in your own Python, and calls the endpoint that bot_config.json names, with your
    AWS credentials; with --stub it gets the content of ANSWER instead. Its result is printed. Where the service cannot
    be reached, the configuration stays unchecked, which is said and is no failure.

    Examples:
      python3 byob.py check invoice-reader --sample page.tiff --stub answer.json
      python3 byob.py check invoice-reader --sample page.tiff --region eu-west-1
    """
    file = directory / DEFAULT_FILE
    content, path = read_configuration(file)
    result = try_main_task(directory, parsed(content), sample, stub, context.obj)
    say(f"main_task gives for {sample}:" if not context.obj.json else f"main_task works on {sample}")
    if not context.obj.json:
        print_json(result)
    service = Service(context.obj)
    try:
        answer = service.data(
            service.call("PUT" if path else "POST", path or "/bots", query=VALIDATE_ONLY, body=content)
        )
    except Unreachable as unreachable:
        say(f"{file} was not checked: {unreachable.sentence}")
        if context.obj.json:
            print_json({"result": result, "configuration": None})
        return
    say(f"{file} keeps the rules of {service.url}")
    if context.obj.json:
        print_json({"result": result, "configuration": answer})
    else:
        print_plan(answer, context.obj)


@command("register")
def register(
    context: typer.Context,
    file: FileArgument,
    *,
    validate_only: ValidateOnlyOption = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = WAIT_SECONDS,
) -> None:
    """Create the bot in FILE, or update it if it is known, and print what the service then has.

    Examples:
      python3 byob.py register bot_config.json --validate-only
      python3 byob.py register bot_config.json --wait
      python3 byob.py show foo_bot --json | jq '.bot_vcpu = "4"' | python3 byob.py register -
    """
    wait_seconds = seconds_to_wait(timeout, wait=wait, validate_only=validate_only)
    content, path = read_configuration(file)
    service = Service(context.obj)
    # Without a name there is nothing to PUT to; POST has the service say this and all else that is wrong.
    query = VALIDATE_ONLY if validate_only else None
    response = service.call("PUT" if path else "POST", path or "/bots", query=query, body=content)
    answer = service.data(response)
    name = str(answer.get("name"))
    if validate_only:
        would = answer.get("would")
        say(f"would change nothing in {name}" if would == "nothing" else f"would {would} {name}")
        print_plan(answer, context.obj)
        return
    say(f"{'registered' if response.status_code == requests.codes.created else 'updated'} {name}")
    show_bot(service, name, context.obj, wait_seconds=wait_seconds)


@command("show")
def show(
    context: typer.Context, name: NameArgument, *, wait: WaitOption = False, timeout: TimeoutOption = WAIT_SECONDS
) -> None:
    """Print a bot's configuration and the state of its endpoints.

    Examples:
      python3 byob.py show foo_bot
      python3 byob.py show foo_bot --wait --timeout 600
      python3 byob.py show foo_bot --json | jq -r '.endpoints[].status'
    """
    show_bot(Service(context.obj), name, context.obj, wait_seconds=seconds_to_wait(timeout, wait=wait))


@command("deploy")
def deploy(
    context: typer.Context,
    name: NameArgument,
    *,
    validate_only: ValidateOnlyOption = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = WAIT_SECONDS,
) -> None:
    """Bring the endpoints that the service made to the bot's configuration as it is now.

    With --json and --wait, the bot is what is printed, and what is done to its endpoints is said on stderr.

    Examples:
      python3 byob.py deploy foo_bot --validate-only
      python3 byob.py deploy foo_bot --wait
    """
    wait_seconds = seconds_to_wait(timeout, wait=wait, validate_only=validate_only)
    service = Service(context.obj)
    query = VALIDATE_ONLY if validate_only else None
    plan = service.data(service.call("POST", f"{path_of_existing(name)}/deploy", query=query))
    if context.obj.json and wait:
        for each in endpoints_in(plan):
            say(f"{each.get('name')}: {each.get('action')}: {each.get('detail')}")
    else:
        print_plan(plan, context.obj)
    if wait:
        due = {str(each.get("name")) for each in endpoints_in(plan) if each.get("action") not in {"none", "leave"}}
        show_bot(service, name, context.obj, wait_seconds=wait_seconds, due=due)


@command("list")
def list_bots(
    context: typer.Context,
    prefix: Annotated[str | None, typer.Option(help="Only bots whose name starts so.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Only bots that name this endpoint.")] = None,
    file_type: Annotated[str | None, typer.Option(help="Only bots for this file type, such as .jpg.")] = None,
) -> None:
    """List all bots, by name.

    Examples:
      python3 byob.py list --prefix foo_ --file-type .jpg
      python3 byob.py list --json | jq -r '.[].name'
    """
    filters = {"name_prefix": prefix, "endpoint_name": endpoint, "file_type": file_type}
    bots = Service(context.obj).all("bots", filters)
    none = "no bots match" if any(filters.values()) else "no bots are registered"
    print_list(bots, none, print_bots, context.obj)


@command("endpoints")
def list_endpoints(
    context: typer.Context,
    *,
    unused: Annotated[bool, typer.Option("--unused", help="Only endpoints that no bot names.")] = False,
) -> None:
    """List the endpoints that the service knows, their state and the bots that name them.

    Examples:
      python3 byob.py endpoints --unused
      python3 byob.py endpoints --json | jq -r '.[] | select(.failure) | .name'
    """
    endpoints = Service(context.obj).all("endpoints", {"unused": "true" if unused else None})
    none = "no endpoint is unused" if unused else "no endpoints are known"
    print_list(endpoints, none, print_endpoints, context.obj)


@command("delete")
def delete(
    context: typer.Context,
    name: NameArgument,
    delete_endpoint: Annotated[
        bool,
        typer.Option("--delete-endpoint", help="Also delete endpoints made for it that no other bot names."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Unregister a bot. On a terminal you are asked first; elsewhere, as in a script, --yes is required.

    Examples:
      python3 byob.py delete foo_bot
      python3 byob.py delete foo_bot --delete-endpoint --yes
    """
    path = path_of_existing(name)
    service = Service(context.obj)
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("--yes is required where standard input is not a terminal")
        question = f"Delete {name}{' and the endpoints made for it' if delete_endpoint else ''}?"
        if not Confirm.ask(Text(harmless(question)), console=Console(stderr=True), default=False):
            raise Failure(f"{name} was not deleted")
    service.call("DELETE", path, query={"delete_endpoint": "true"} if delete_endpoint else None)
    say(f"deleted {name}")
