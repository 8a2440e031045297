"""The service over HTTP: requests that are signed where needed, repeated where that may help, and worded refusals."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

import requests
import typer
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import MaxRetryError, ReadTimeoutError
from urllib3.util import Retry

from words import Failure, say

DEFAULT_URL = "http://127.0.0.1:3000"
TIMEOUT_SECONDS = (5, 30)  # to connect, to read: the service answers within API Gateway's 29 s or not at all
RETRIES = 4
LONGEST_PAUSE_SECONDS = 30
PAGE_SIZE = 100  # the most that the service gives at once

# Private APIs also go by the names of a VPC endpoint: <api>-<vpce>.execute-api.… and ….vpce.amazonaws.com.
EXECUTE_API_HOST = re.compile(r"(?:.+\.)?execute-api\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?")

# IAM user guide, "Elements of an AWS API request signature": requests have to arrive within 5 minutes of their date.
LARGEST_SKEW_MINUTES = 5

# What to do about a 403 to a signed request, by the type that API Gateway's answer has (template.yaml).
ADVICE = {
    "urn:byob:not-signed": "the request was signed, so the service has no such path: check the URL and its stage",
    "urn:byob:access-denied": "ask for that right, name another profile (--profile, AWS_PROFILE), or check the URL",
    "urn:byob:credentials-expired": "log in again, or name another profile (--profile, AWS_PROFILE)",
    "urn:byob:invalid-signature": "check the secret key of your profile, and the region (--region, AWS_REGION)",
}

JOB_ID = re.compile(r"[0-9a-f]{32}")

Bot = dict[str, Any]
Job = dict[str, Any]


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


class Unreachable(Failure):
    """Nobody answers at the service's address."""


class PatientRetry(Retry):
    """urllib3's Retry that says what it waits for, and gives up where waiting is no use.

    Every call of the kit may be repeated: PUT, GET and DELETE are idempotent, POST /bots answers 200 to the same
    configuration again, POST /jobs carries a key, and a second deploy, cancel or retry finds what the first has begun.
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
        idempotency_key: str | None = None,
    ) -> requests.Response:
        """Send one request and give its answer, which is a success: all else is raised as a Failure.

        With the `etag` of what the caller has, the answer may be 304: it is still so.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if etag:
            headers["If-None-Match"] = etag
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
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
            raise Unreachable(
                f"cannot reach {self.url} ({root_of(error)}): say where the service is with --url or BYOB_URL"
            ) from error
        except requests.RequestException as error:
            raise Failure(f"the call to {self.url} failed: {error}") from error
        if method == "DELETE" and response.status_code == 404 and lost_attempt(response):
            return response  # the attempt whose answer was lost has deleted it
        if method == "POST" and path.startswith("/jobs/") and response.status_code == 409 and lost_attempt(response):
            return response  # the attempt whose answer was lost has cancelled it, or begun it anew
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
        """Fetch all "bots" or "endpoints" that match."""
        return [each for page in self.pages(f"/{subject}", filters) for each in page.get(subject) or []]

    def pages(self, path: str, filters: Mapping[str, str | None]) -> Iterator[dict[str, Any]]:
        """Fetch a list page by page."""
        query = {"limit": str(PAGE_SIZE)} | {key: value for key, value in filters.items() if value}
        while True:
            page = self.data(self.call("GET", path, query=query))
            yield page
            if not page.get("next_token"):
                return
            query["next_token"] = page["next_token"]

    def job(self, id: str) -> Job:
        """Fetch a job: what was asked for, its state, and its files counted by state."""
        return self.data(self.call("GET", job_path(id)))


def path_of_existing(name: str) -> str:
    """Make the path of a bot that the author named on the command line."""
    path = bot_path(name)
    if not path:
        raise Failure(f"no bot can be named '{name}'")
    return path


def job_path(id: str) -> str:
    """Make the path of a job that the author named on the command line."""
    if not JOB_ID.fullmatch(id):
        raise Failure(f"'{id}' is no job's id: 32 digits and letters a to f")
    return f"/jobs/{id}"


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


def advice(response: requests.Response, kind: str) -> str:
    """Say what to do about a 403; `kind` is the type of its problem document, "None" where it has none."""
    if "Authorization" not in response.request.headers:
        return "the service may want AWS credentials: try --sign, with --profile if you use one"
    minutes = minutes_apart(response.headers.get("Date", ""))
    if minutes >= LARGEST_SKEW_MINUTES:
        return f"this machine's clock is {minutes} minutes off from the service's: set it"
    return ADVICE.get(kind, "signed with your AWS credentials: check that they may call it, and the URL's stage")


def minutes_apart(date: str) -> int:
    """Tell how many minutes the clock here is from a header's date (RFC 9110), 0 where that cannot be read."""
    try:
        return int(abs(parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds() // 60)
    except (TypeError, ValueError):  # no date, or none that says its zone
        return 0


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
    if problem.get("message") and str(problem["message"]) != sentence:
        more.append(f"API Gateway says: {problem['message']}")
    for error in problem.get("errors") or []:
        if not isinstance(error, dict):
            continue
        field = field_at(error.get("pointer"))
        more.append(f"{field}: {error.get('detail')}" if field else str(error.get("detail")))
    if response.is_redirect:
        more.append(f"the address has moved to {response.headers['Location']}: check --url or BYOB_URL")
    if response.status_code == 403 and problem.get("type") != "urn:byob:filtered":
        more.append(advice(response, str(problem.get("type"))))
    if "Retry-After" in response.headers:
        more.append(f"the service asks to try again in {response.headers['Retry-After']} s")
    request_id = problem.get("request_id") or response.headers.get("x-amzn-RequestId")
    if response.status_code >= 500 and request_id:
        more.append(f"request id: {request_id}")
    return Failure(sentence, *more)
