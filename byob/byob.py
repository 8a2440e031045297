#!/usr/bin/env python3
"""Bring Your Own Bot, the author's side: send a bot's configuration to the service and see what became of it.

One file, to be copied anywhere; it needs what `requirement.txt` lists. `byob.py --help` tells the rest.
"""

import inspect
import json
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

try:
    import requests
    import typer
    from requests.adapters import HTTPAdapter
    from requests.auth import AuthBase
    from rich import box
    from rich.console import Console
    from rich.highlighter import JSONHighlighter
    from rich.live import Live
    from rich.prompt import Confirm
    from rich.table import Table
    from rich.text import Text
    from urllib3.exceptions import MaxRetryError, ReadTimeoutError
    from urllib3.util import Retry
except ModuleNotFoundError as missing:
    sys.exit(f"Error: byob.py needs the package {missing.name}: python3 -m pip install -r requirement.txt")

DEFAULT_URL = "http://127.0.0.1:3000"
DEFAULT_FILE = Path("bot_config.json")
TIMEOUT_SECONDS = (5, 30)  # to connect, to read: the service answers within API Gateway's 29 s or not at all
RETRIES = 4
LONGEST_PAUSE_SECONDS = 30
LOOK_AGAIN_SECONDS = (0.5, 5.0)  # while waiting for endpoints: from, to
WAIT_SECONDS = 1800
PAGE_SIZE = 100  # the most that the service gives at once
UNCUT_WIDTH = 10_000  # columns for output that is piped, where the next program wants whole values

# Private APIs also go by the names of a VPC endpoint: <api>-<vpce>.execute-api.… and ….vpce.amazonaws.com.
EXECUTE_API_HOST = re.compile(r"(?:.+\.)?execute-api\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?")

# What SageMaker calls an endpoint's state: at work, and done. The service adds Missing and Unknown.
AT_WORK = {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}
DONE = {"InService", "Failed", "OutOfService", "UpdateRollbackFailed"}

Bot = dict[str, Any]
Endpoint = Mapping[str, Any]
Command = TypeVar("Command", bound=Callable[..., None])


class Failure(Exception):  # noqa: N818  # most are no errors of the program
    """The command cannot do what was asked: one sentence, and lines that tell more. The exit code is 1."""

    def __init__(self, sentence: str, *more: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.more = more


@dataclass(frozen=True)
class Options:
    """What every command takes, before or after its name; None where nothing was said."""

    url: Annotated[
        str | None,
        typer.Option(help=f"Where the service is. [env: BYOB_URL; default: {DEFAULT_URL}]"),
    ] = None
    sign: Annotated[
        bool | None,
        typer.Option("--sign", help="Sign requests with AWS credentials. Done unasked for execute-api."),
    ] = None
    profile: Annotated[str | None, typer.Option(help="AWS profile to sign with. [env: AWS_PROFILE]")] = None
    region: Annotated[
        str | None,
        typer.Option(help="AWS region to sign for, where the host name does not tell. [env: AWS_REGION]"),
    ] = None
    json: Annotated[bool | None, typer.Option("--json", help="Print data alone, as JSON.")] = None

    def updated(self, given: Mapping[str, Any]) -> "Options":
        """Let what was given win over what was known."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})


# --- Talking to the service ---------------------------------------------------------------------------------


class PatientRetry(Retry):
    """urllib3's Retry that says what it waits for, and gives up where waiting is no use.

    Every call of the kit may be repeated: PUT, GET and DELETE are idempotent, POST /bots answers 200 to the same
    configuration again, and a second deploy finds what the first has begun.
    """

    def increment(self, *args: Any, **details: Any) -> "PatientRetry":
        """Count one more attempt and say so; raise where there shall be none."""
        response, error = details.get("response"), details.get("error")
        if isinstance(error, ReadTimeoutError):
            raise error  # it already took longer than the service may
        asked = self.get_retry_after(response) if response else None
        if asked and asked > LONGEST_PAUSE_SECONDS:
            raise MaxRetryError(details["_pool"], "")  # the answer is then shown as it is: raise_on_status
        following = super().increment(*args, **details)
        pause = asked or following.get_backoff_time()
        happened = f"the service answered {response.status}" if response else "the connection was lost"
        say(f"{happened}; trying again {f'in {pause:g} s' if pause else 'at once'}")
        return following


def region_of(host: str) -> str | None:
    """Read the region from an API Gateway host name; None where the host is not one."""
    match = EXECUTE_API_HOST.fullmatch(host)
    return match[1] if match else None


def signer(region: str | None, options: Options) -> AuthBase:
    """Sign as the AWS tools would: the same credentials, the region from the same places."""
    # Imported here: they take longer than the rest of the program, and a local service needs no signature.
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415
    from requests_aws4auth import AWS4Auth  # noqa: PLC0415

    try:
        session = Session(profile=options.profile)
        region = (
            region
            or options.region
            or os.environ.get("AWS_REGION")  # botocore itself knows AWS_DEFAULT_REGION only
            or session.get_config_variable("region")
        )
        credentials = session.get_credentials()
        if credentials:
            credentials.get_frozen_credentials()  # an expired login shows here, not amid the first request
    except BotoCoreError as error:
        raise Failure(f"cannot sign: {error}") from error
    if not credentials:
        raise Failure("no AWS credentials to sign with: log in, or name a profile (--profile, AWS_PROFILE)")
    if not region:
        raise Failure("no AWS region to sign for: name one (--region, AWS_REGION)")
    auth: AuthBase = AWS4Auth(region=region, service="execute-api", refreshable_credentials=credentials)
    return auth


def bot_path(name: object) -> str | None:
    """Make the path of the bot of that name; None where no path can carry it or it would lead elsewhere."""
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name:
        return None
    try:
        return f"/bots/{quote(name, safe='')}"
    except UnicodeEncodeError:  # half a surrogate pair: "\ud800" is legal in JSON
        return None


class Service:
    """The service at one address, as this author."""

    def __init__(self, options: Options) -> None:
        self.url = (options.url or os.environ.get("BYOB_URL") or DEFAULT_URL).rstrip("/")
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in ("http", "https") and parts.hostname and not parts.query + parts.fragment
        except ValueError:
            usable = False
        if not usable:
            raise typer.BadParameter(f"'{self.url}' is no address such as {DEFAULT_URL} (--url, BYOB_URL)")

        self.session = requests.Session()
        region = region_of(parts.hostname or "")
        if region or options.sign:
            self.session.auth = signer(region, options)
        retry = PatientRetry(
            total=RETRIES,
            connect=0,  # nobody there: say so at once
            status_forcelist=[429, 503],
            allowed_methods=None,  # all of them
            backoff_factor=0.5,
            raise_on_status=False,  # after the last attempt the service's own words are shown
        )
        self.session.mount("http://", HTTPAdapter(max_retries=retry))
        self.session.mount("https://", HTTPAdapter(max_retries=retry))

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        etag: str | None = None,
    ) -> requests.Response:
        """Send one request and give its answer, which is a success: all else is raised as a Failure.

        With the `etag` of what the caller has, the answer may be 304: it is still so.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if etag:
            headers["If-None-Match"] = etag
        # Not `params=`: it sends a space as "+", which requests-aws4auth signs wrongly.
        address = self.url + path + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        try:
            response = self.session.request(
                method,
                address,
                data=body,
                headers=headers,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,  # a redirected PUT may go on as a GET, and look like a success
            )
        except requests.ReadTimeout as error:
            raise Failure(f"{self.url} did not answer within {TIMEOUT_SECONDS[1]} s") from error
        except requests.ConnectionError as error:
            raise Failure(
                f"cannot reach {self.url} ({root_of(error)}): say where the service is with --url or BYOB_URL"
            ) from error
        except requests.RequestException as error:
            raise Failure(f"the call to {self.url} failed: {error}") from error
        if method == "DELETE" and response.status_code == 404 and lost_attempt(response):
            return response  # the attempt whose answer was lost has deleted it
        if not (200 <= response.status_code < 300 or (etag and response.status_code == 304)):
            raise refusal(response)
        return response

    def data(self, response: requests.Response) -> dict[str, Any]:
        """Read an answer's JSON object."""
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Failure(f"{self.url} answers, but not as Bring Your Own Bot does: check --url or BYOB_URL")
        return answer

    def bot(self, name: str) -> Bot:
        """Fetch a bot: its configuration, dates and endpoints."""
        return self.data(self.call("GET", path_of_existing(name)))

    def all(self, subject: str, filters: Mapping[str, str | None]) -> list[dict[str, Any]]:
        """Fetch all "bots" or "endpoints" that match, page by page."""
        query = {"limit": str(PAGE_SIZE)} | {key: value for key, value in filters.items() if value}
        found: list[dict[str, Any]] = []
        while True:
            page = self.data(self.call("GET", f"/{subject}", query=query))
            found += page.get(subject) or []
            if not page.get("next_token"):
                return found
            query["next_token"] = page["next_token"]


def path_of_existing(name: str) -> str:
    """Make the path of a bot that the author named on the command line."""
    path = bot_path(name)
    if not path:
        raise Failure(f"no bot can be named '{name}'")
    return path


def lost_attempt(response: requests.Response) -> bool:
    """Tell whether an earlier attempt may have reached the service although its answer never came."""
    retries = response.raw.retries
    return retries is not None and any(attempt.error for attempt in retries.history)


def root_of(error: BaseException) -> str:
    """Tell what happened at the bottom: requests wraps urllib3, which wraps the socket's error."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return (isinstance(error, OSError) and error.strerror) or str(error)


def field_at(pointer: object) -> str:
    """Name the field of the configuration that a JSON pointer (RFC 6901) leads to; "" for all of it."""
    return str(pointer or "").removeprefix("#").removeprefix("/").replace("~1", "/").replace("~0", "~")


def refusal(response: requests.Response) -> Failure:
    """Word what the service (problem+json, RFC 9457) or API Gateway before it ({"message": …}) says."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    sentence = next(
        (str(problem[key]) for key in ("detail", "title", "message", "Message") if problem.get(key)),
        f"the service answered {response.status_code} {response.reason} without saying why",
    )

    more = []
    for error in problem.get("errors") or []:
        if not isinstance(error, dict):
            continue
        field = field_at(error.get("pointer"))
        more.append(f"{field}: {error.get('detail')}" if field else str(error.get("detail")))
    if response.is_redirect:
        more.append(f"the address has moved to {response.headers['Location']}: check --url or BYOB_URL")
    if response.status_code == 403 and "Authorization" not in response.request.headers:
        more.append("the service may want AWS credentials: try --sign, with --profile if you use one")
    elif response.status_code == 403:
        more.append("signed with your AWS credentials: check that they may call it, and the URL's stage")
    if "Retry-After" in response.headers:
        more.append(f"the service asks to try again in {response.headers['Retry-After']} s")
    request_id = problem.get("request_id") or response.headers.get("x-amzn-RequestId")
    if response.status_code >= 500 and request_id:
        more.append(f"request id: {request_id}")
    return Failure(sentence, *more)


# --- The author's file --------------------------------------------------------------------------------------


def read_configuration(file: Path) -> tuple[bytes, str | None]:
    """Read the file's bytes, to send as they are, and the path of the bot that they name, if they do.

    What is wrong with a configuration is for the service to say; only what is no JSON at all is refused here.
    """
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}") from error
    content = content.removeprefix(b"\xef\xbb\xbf")  # the byte order mark that Windows editors write

    try:
        configuration = json.loads(content.decode(), parse_int=float)  # int() refuses thousands of digits
    except UnicodeDecodeError as error:
        before = content[: error.start].decode().split("\n")
        where = f"line {len(before)}, column {len(before[-1]) + 1}"
        raise Failure(f"{file} is not UTF-8 text: {where}: {error.reason}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Failure(f"{file} is not JSON: {where}: {error.msg}") from error
    except RecursionError:
        configuration = None
    if not isinstance(configuration, dict):
        return content, None
    return content, bot_path(configuration.get("name")) or bot_path(configuration.get("bot_name"))


# --- Showing ------------------------------------------------------------------------------------------------


def harmless(text: str) -> str:
    """Write whatever could move the cursor or hide something as JSON escapes."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def say(text: str) -> None:
    """Tell the person, on stderr: stdout is for what was asked for."""
    print(harmless(text), file=sys.stderr)


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
    table = Table(box=box.SIMPLE_HEAD if ruled else None, pad_edge=False)
    for heading in headings:
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


# --- Waiting ------------------------------------------------------------------------------------------------


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


# --- Commands -----------------------------------------------------------------------------------------------

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help and one-line usage errors; also starts faster
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """Show the function to Typer with the fields of Options after its own parameters.

    What was said before the command's name and after it is put together in `context.obj`.
    """
    shared = inspect.signature(Options).parameters
    own = inspect.signature(function).parameters
    parameters = [each.replace(kind=each.KEYWORD_ONLY) for each in (*own.values(), *shared.values())]

    def run(**values: Any) -> None:
        given = {name: values.pop(name) for name in shared}
        context: typer.Context = values["context"]
        context.obj = (context.obj or Options()).updated(given)
        function(**values)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # PEP 362; mypy knows it not
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    # A backspace keeps Typer from joining a paragraph's lines.
    run.__doc__ = (function.__doc__ or "").replace("    Examples:\n", "    \b\n    Examples:\n")
    return run


def command(name: str) -> Callable[[Command], Command]:
    """Make the function the command of that name."""

    def add(function: Command) -> Command:
        app.command(name)(with_options(function))
        return function

    return add


def start(context: typer.Context) -> None:
    """Bring Your Own Bot: register bots with the service and see what became of them.

    Without a command, the bot in ./bot_config.json is created, or updated if it is known, and its
    configuration is printed as the service then has it.

    Examples:
      python3 byob.py
      python3 byob.py --url https://abc123.execute-api.cn-northwest-1.amazonaws.com.cn/prod list
      BYOB_URL=http://127.0.0.1:3000 python3 byob.py show foo_bot --json

    Exit codes: 0 fine, 1 failed, 2 wrong usage, 130 interrupted.
    """
    if context.invoked_subcommand is None:
        register(context, DEFAULT_FILE)


app.callback(invoke_without_command=True)(with_options(start))


def seconds_to_wait(timeout: int, *, wait: bool, validate_only: bool = False) -> int | None:
    """Put the options of waiting together; None where the command shall not wait."""
    if wait and validate_only:
        raise typer.BadParameter("--validate-only changes nothing, so --wait has nothing to wait for")
    return timeout if wait else None


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


def main() -> None:
    """Run the command line, every foreseen failure as one sentence."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # never fail on a character
    try:
        app()
    except Failure as failure:
        say(f"Error: {failure.sentence}")
        for line in failure.more:
            say(f"  {line}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
