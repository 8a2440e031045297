"""Waiting until a bot's endpoints have settled, and telling what happens meanwhile."""

import sys
import time
from collections.abc import Collection
from contextlib import nullcontext

import requests
from rich.console import Console
from rich.live import Live
from rich.table import Table

from display import AT_WORK, Endpoint, endpoints_in, print_bot, state_of, table_of
from service import Bot, Options, Service, path_of_existing
from words import Failure, say

LOOK_AGAIN_SECONDS = (0.5, 5.0)  # while waiting for endpoints: from, to
# What SageMaker calls the state of an endpoint that it is done with.
DONE = {"InService", "Failed", "OutOfService", "UpdateRollbackFailed"}


def is_moving(endpoint: Endpoint, due: Collection[str] = ()) -> bool:
    """Tell whether an endpoint's state will change by itself; `due`: those that a deploy is to change."""
    status = endpoint.get("status")
    if status in AT_WORK:
        return True
    if endpoint.get("failure"):
        return bool(endpoint.get("next_attempt_at"))
    if endpoint.get("managed") and (status == "Failed" or endpoint.get("name") in due):
        # Nothing is said against it, so the work on it has yet to begin: a failure forgotten is an endpoint made anew.
        return status != "InService" or bool(endpoint.get("outdated"))
    return status not in DONE


def pause_after(pause: float, *, changed: bool) -> float:
    """Give the seconds until the next look: few after a change, growing while there is none."""
    shortest, longest = LOOK_AGAIN_SECONDS
    return shortest if changed else min(pause * 1.5, longest)


def settled_bot(service: Service, name: str, *, timeout_seconds: int, due: Collection[str]) -> Bot:
    """Fetch a bot again and again until its endpoints have settled or the time is up, telling each change."""
    path = path_of_existing(name)
    started = time.monotonic()
    bot: Bot = {}
    states: dict[str, str] = {}
    etag, pause = None, 0.0

    def display() -> Table:
        table = table_of(("Endpoint", "State"), states.items(), ruled=True)
        table.caption = f"waiting, {time.monotonic() - started:.0f} s of {timeout_seconds} s; Ctrl-C leaves"
        return table

    console = Console(stderr=True)
    watched = sys.stderr.isatty() and not console.is_dumb_terminal
    with Live(get_renderable=display, console=console, transient=True) if watched else nullcontext():
        while True:
            response, before = service.call("GET", path, etag=etag), states
            if response.status_code != requests.codes.not_modified:
                bot, etag = service.data(response), response.headers.get("ETag")
                states = {str(each.get("name")): state_of(each) for each in endpoints_in(bot)}
            for endpoint, state in states.items() if not watched else ():
                if before.get(endpoint) != state:
                    say(f"{endpoint}: {state}")
            left = started + timeout_seconds - time.monotonic()
            if left <= 0 or not any(is_moving(each, due) for each in endpoints_in(bot)):
                return bot
            pause = pause_after(pause, changed=states != before)
            time.sleep(min(pause, left))


def show_bot(
    service: Service, name: str, options: Options, *, wait_seconds: int | None, due: Collection[str] = ()
) -> None:
    """Print a bot, where asked once its endpoints have settled: then raise a Failure unless all are InService."""
    if wait_seconds is None:
        print_bot(service.bot(name), options)
        return
    bot = settled_bot(service, name, timeout_seconds=wait_seconds, due=due)
    print_bot(bot, options)
    lacking = [
        each
        for each in endpoints_in(bot)
        if is_moving(each, due) or each.get("status") != "InService" or each.get("failure")
    ]
    if lacking:
        moving = any(is_moving(each, due) for each in lacking)
        happened = f"have settled within {wait_seconds} s" if moving else "are in service"
        lines = (f"{each.get('name')}: {state_of(each)}" for each in lacking)
        raise Failure(f"not all endpoints of {name} {happened}", *lines)
