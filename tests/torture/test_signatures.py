"""Every request to OpenSearch is rightly signed, as a signer says that is not ours; one that is changed is refused."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree import ElementTree

from botocore.auth import SIGV4_TIMESTAMP

from local.aws import make_bucket
from local.template import ROOT
from shared import clock
from tests.jobs import post
from tests.proxies import Request, SigningProxy
from tests.support import ApiClient
from tests.torture.conftest import Torture

Make = Callable[..., dict[str, Any]]
_KINDS: Final = ("method", "body", "path", "query", "date", "old date", "scope", "key", "token", "header", "signature")


def test_every_request_of_the_http_suite_is_rightly_signed(torture: Torture, tmp_path: Path) -> None:
    suite, kept = torture.size("tests/http", short="tests/http/test_register.py"), tmp_path / "suite.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={kept}", suite]

    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    (tests,) = ElementTree.parse(kept).getroot()
    properties = {each.get("name"): int(each.get("value", "0")) for each in tests.iter("property")}
    accepted, refused = properties["signed_requests_accepted"], properties["signed_requests_refused"]
    torture.report(
        "signatures",
        accepted,
        "requests accepted",
        goal="every one, by botocore's signer",
        holds=accepted > 0 and refused == 0,
        note=f"{refused} refused, in {tests.get('tests')} tests of {suite}",
    )
    assert run.returncode == 0, run.stdout[-2000:]


def at_work(api: ApiClient, configuration: Make, bots: int) -> None:
    """Have the service send every kind of request that it sends."""
    make_bucket(api.aws("s3"), "empty")
    for _ in range(bots):
        bot = api.register(configuration(bot_image_cmd="run 'ünïcødé' --all")).json
        path = f"/bots/{bot['name']}"
        reads = [path, f"/bots?name_prefix={bot['name']}&limit=1", f"/bots?file_type=.{bot['name']}", "/endpoints"]
        assert {api("GET", read).status for read in reads} == {200}
        assert api("PATCH", path, {"bot_vcpu": 2}).status == 200
        job = post(api, bot["name"], "empty").json
        assert api("GET", f"/jobs/{job['job_id']}/files").status == 200
        assert api("GET", f"/jobs?bot_name={bot['name']}").status == 200
        assert api("POST", f"/jobs/{job['job_id']}/cancel").status in (202, 409)
        assert api("DELETE", f"{path}?delete_endpoint=true").status in (204, 409)


@dataclass(frozen=True)
class Changed:
    """A request, and what of it is not as it was signed: method, target, headers, body."""

    what: str
    sent: tuple[str, str, dict[str, str], bytes]


def tampered(request: Request) -> Iterator[Changed]:
    """Give every change of a signed request that has to be noticed."""
    method, target, headers, body = request.method, request.target, dict(request.headers), request.body
    path, _, query = target.partition("?")
    authorization, date = headers["authorization"], headers["x-amz-date"]
    today, region = date[:8], authorization.split("/")[2]
    moment = clock.now() - timedelta(minutes=20)

    def signed(**changes: str) -> dict[str, str]:
        return {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}

    def authorized(old: str, new: str) -> dict[str, str]:
        assert old in authorization
        return signed(authorization=authorization.replace(old, new, 1))

    yield Changed("method", ("DELETE" if method == "GET" else "GET", target, headers, body))
    yield Changed("body", (method, target, headers, body[:-1] + b" " if body else b"{}"))
    yield Changed("body", (method, target, headers, body + b"\n"))
    yield Changed("path", (method, f"{path}x" + ("?" * bool(query)) + query, headers, body))
    yield Changed("path", (method, f"/other{target}", headers, body))
    yield Changed("query", (method, f"{target}{'&' if query else '?'}routing=x", headers, body))
    if query:
        yield Changed("query", (method, path, headers, body))
    second = date[:-2] + ("1Z" if date[-2] != "1" else "2Z")
    yield Changed("date", (method, target, signed(x_amz_date=second), body))
    yield Changed("old date", (method, target, signed(x_amz_date=moment.strftime(SIGV4_TIMESTAMP)), body))
    yield Changed("scope", (method, target, authorized(f"/{today}/", "/20200101/"), body))
    yield Changed("scope", (method, target, authorized(f"/{region}/", "/elsewhere-1/"), body))
    yield Changed("scope", (method, target, authorized("/es/", "/s3/"), body))
    yield Changed("key", (method, target, authorized("Credential=AKID", "Credential=AKIX"), body))
    yield Changed("token", (method, target, signed(x_amz_security_token="another"), body))
    yield Changed("token", (method, target, {k: v for k, v in headers.items() if k != "x-amz-security-token"}, body))
    for name in authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";"):
        yield Changed("header", (method, target, {**headers, name: f"{headers[name]}0"}, body))
        yield Changed("header", (method, target, authorized(name, "accept"), body))
    digit = authorization[-1]
    yield Changed(
        "signature", (method, target, signed(authorization=authorization[:-1] + ("0" if digit != "0" else "1")), body)
    )
    yield Changed("signature", (method, target, {k: v for k, v in headers.items() if k != "authorization"}, body))


def status_of(connection: HTTPConnection, method: str, target: str, headers: dict[str, str], body: bytes) -> int:
    """Send exactly these headers, but for the length, which is the body's."""
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in {**headers, "content-length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_signed_request_that_is_changed_is_refused(
    torture: Torture, api: ApiClient, signed_opensearch: SigningProxy, configuration: Make
) -> None:
    signed_opensearch.forget_log()
    at_work(api, configuration, torture.size(6, short=1))
    captured = signed_opensearch.requests
    address = urlsplit(signed_opensearch.url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
    untouched, refused, passed = 0, dict.fromkeys(_KINDS, 0), []

    for number, request in enumerate(captured, start=1):
        for changed in tampered(request):
            if status_of(connection, *changed.sent) == 403:
                refused[changed.what] += 1
            else:
                passed.append(f"{changed.what} of {request.method} {request.target}")
        again = status_of(connection, request.method, request.target, dict(request.headers), request.body)
        untouched += again != 403
        torture.progress("requests captured and changed", number, len(captured))
    connection.close()
    signed_opensearch.refused.clear()  # they were to be

    torture.report(
        "signatures_tampered",
        sum(refused.values()),
        "changed requests refused",
        goal="every one; untouched ones accepted",
        holds=not passed and untouched == len(captured) and all(refused.values()),
        note=f"{len(captured)} captured, {untouched} accepted untouched; refused for "
        + ", ".join(f"the {kind} {count}" for kind, count in refused.items())
        + "".join(f"\naccepted: {told}" for told in passed[:5]),
    )
