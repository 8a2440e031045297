"""How the kit shows bots, endpoints and plans: as tables for eyes, or as JSON."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from service import Bot, Options, field_at
from words import Failure, harmless, say

UNCUT_WIDTH = 10_000  # columns for output that is piped, where the next program wants whole values
# What SageMaker calls the state of an endpoint that it is at work on. The service adds Missing and Unknown.
AT_WORK = {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}

Endpoint = Mapping[str, Any]


def stdout() -> Console:
    """Make the console for what was asked for: as wide as the terminal or, where it is none, the values."""
    return Console(width=None if sys.stdout.isatty() else UNCUT_WIDTH)


def print_json(document: object) -> None:
    """Print a document, coloured on a terminal."""
    # Where the terminal or pipe has not all characters, JSON's own escapes keep the document whole.
    lines = json.dumps(document, indent=2, ensure_ascii="utf" not in sys.stdout.encoding.lower()).split("\n")
    text = Text("\n".join(harmless(line) for line in lines))
    JSONHighlighter().highlight(text)
    stdout().print(text, soft_wrap=True)


def table_of(headings: Iterable[str], rows: Iterable[Iterable[object]], *, ruled: bool) -> Table:
    """Arrange rows of values that may hold anything; an empty one shows as a dash."""
    named = list(headings)
    table = Table(box=box.SIMPLE_HEAD if ruled else None, pad_edge=False, show_header=any(named))
    for heading in named:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(harmless(str(cell or "-"))) for cell in row))
    return table


def print_table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print rows under their headings."""
    # A pipe gets rows alone: rules and blank lines are for eyes.
    stdout().print(table_of(headings, rows, ruled=sys.stdout.isatty()))


def print_list(
    items: list[dict[str, Any]], none: str, print_items: Callable[[list[Any]], None], options: Options
) -> None:
    """Print all items, as an array or as a table; say in words that there are none."""
    if options.json:
        print_json(items)
    elif not items:
        say(none)
    else:
        print_items(items)


def status_of(endpoint: Endpoint) -> str:
    """Word an endpoint's status."""
    return f"{endpoint.get('status') or 'unknown'}{' (outdated)' if endpoint.get('outdated') else ''}"


def managed_by_service(endpoint: Endpoint) -> str:
    """Word whether the service made the endpoint."""
    return "yes" if endpoint.get("managed") else "no"


def failure_of(endpoint: Endpoint) -> str | None:
    """Give the sentence on why the last attempt came to nothing; None where it did not."""
    failure = endpoint.get("failure")
    return failure and (failure.get("message") or failure.get("code") or "no reason is known")


def state_of(endpoint: Endpoint) -> str:
    """Word all that there is to know of how an endpoint is getting on."""
    state, failure, next_attempt = status_of(endpoint), failure_of(endpoint), endpoint.get("next_attempt_at")
    if failure:
        state += f": {failure}"
    # While SageMaker is at work, the next attempt is the one that is under way.
    if next_attempt and endpoint.get("status") not in AT_WORK:
        state += f"; next attempt at {next_attempt}"
    return state


def endpoints_in(document: Mapping[str, Any]) -> list[Endpoint]:
    """Give the endpoints of a bot or of a plan."""
    return document.get("endpoints") or []


def print_bot(bot: Bot, options: Options) -> None:
    """Print a configuration as it can be edited and sent back, then the state of its endpoints."""
    if options.json:
        print_json(bot)
        return
    print_json({field: value for field, value in bot.items() if field != "endpoints"})
    rows = [
        (each.get("name"), status_of(each), managed_by_service(each), failure_of(each), each.get("next_attempt_at"))
        for each in endpoints_in(bot)
    ]
    if rows:
        print_table(("Endpoint", "Status", "Managed", "Failure", "Next attempt"), rows)


def print_bots(bots: Iterable[Bot]) -> None:
    """Print one row a bot."""
    rows = []
    for bot in bots:
        states = (f"{each.get('name')}: {status_of(each)}" for each in endpoints_in(bot))
        fields = (bot.get(field) for field in ("name", "file_types", "bot_image"))
        rows.append((*fields, ", ".join(states), bot.get("update_date")))
    print_table(("Name", "File types", "Image", "Endpoints", "Updated"), rows)


def print_endpoints(endpoints: Iterable[Endpoint]) -> None:
    """Print one row an endpoint."""
    rows = []
    for each in endpoints:
        state = (each.get("name"), status_of(each), managed_by_service(each), each.get("since"))
        bots = ", ".join(map(str, each.get("bots") or [])) or "unused"
        rows.append((*state, each.get("instance_type"), bots, failure_of(each)))
    print_table(("Endpoint", "Status", "Managed", "Since", "Instance type", "Bots", "Failure"), rows)


def result_of(check: Mapping[str, Any]) -> str:
    """Word what a check found."""
    ok = check.get("ok")
    return "could not be checked" if ok is None else "ok" if ok else "wrong"


def print_plan(plan: Mapping[str, Any], options: Options) -> None:
    """Print what is done to each endpoint and, where it was only asked, what the checks found.

    Raise a Failure where one found something wrong; what could not be checked is no failure.
    """
    checks = plan.get("checks") or []
    if options.json:
        print_json(plan)
    else:
        rows = ([each.get(key) for key in ("name", "action", "detail")] for each in endpoints_in(plan))
        print_table(("Endpoint", "Action", "Detail"), rows)
        if checks:
            rows = ([field_at(each.get("subject")), result_of(each), each.get("detail")] for each in checks)
            print_table(("Check", "Result", "Detail"), rows)
    wrong = [each for each in checks if each.get("ok") is False]
    if wrong:
        lines = (f"{field_at(each.get('subject'))}: {each.get('detail')}" for each in wrong)
        raise Failure(f"{len(wrong)} of {len(checks)} checks found something wrong", *lines)
