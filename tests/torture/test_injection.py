"""Hostile text in every place of a request: stored verbatim or refused, and nowhere taken for more than text.

The one text of a caller that is more than a value in a JSON body is a name that the contract allows: a bot's, or an
endpoint's in lower case, is the id of its document, and so is in paths.
"""

import json
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import pytest
from botocore.credentials import Credentials

from local.aws import CREDENTIALS, REGION
from local.opensearch import OpenSearchNode
from local.stack import LOGGING, listen, stack
from shared.bots.fields import is_name
from tests.proxies import SigningProxy
from tests.support import ApiClient, FunctionLog, Reply, eventually, recorded
from tests.torture import hostile
from tests.torture.conftest import Torture

Make = Callable[..., dict[str, Any]]
PREFIX: Final = "injection"
LOG_SIZE: Final = 100_000
TEXT_FIELDS: Final = (
    "name",
    "es_url",
    "file_types",
    "bot_image",
    "bot_image_cmd",
    "endpoint_name",
    "endpoint_ecr_image_path",
    "instance_type",
    "model_s3_path",
    "bot_vcpu",
    "bot_mem",
)
JOB_FIELDS: Final = ("bot_name", "s3_bucket", "s3_path", "output_s3_bucket", "output_s3_prefix", "number_of_bots")
#: Calls that take the text in their path.
PATHS: Final = (
    "GET /bots/{}",
    "PUT /bots/{}",
    "PATCH /bots/{}",
    "DELETE /bots/{}",
    "POST /bots/{}/deploy",
    "GET /jobs/{}",
    "GET /jobs/{}/files",
    "POST /jobs/{}/cancel",
    "POST /jobs/{}/retry",
)
QUERIES: Final = (
    "GET /bots?name_prefix={}",
    "GET /bots?endpoint_name={}",
    "GET /bots?file_type={}",
    "GET /bots?next_token={}",
    "GET /bots?limit={}",
    "GET /bots?{}=x",
    "GET /endpoints?unused={}",
    "GET /endpoints?next_token={}",
    "GET /jobs?bot_name={}",
    "GET /jobs?status={}",
    "DELETE /bots/BOT?delete_endpoint={}",
    "POST /bots/BOT/deploy?validate_only={}",
)
HEADERS: Final = (
    "PUT /bots/BOT If-Match",
    "PUT /bots/BOT If-None-Match",
    "GET /bots/BOT If-None-Match",
    "POST /jobs Idempotency-Key",
    "GET /bots/BOT X-Amzn-RequestId",
    "GET /bots/nobody X-Amzn-RequestId",
    "GET /bots/BOT User-Agent",
    "POST /bots Content-Type",
)
_LISTS: Final = ("file_types", "endpoint_name", "endpoint_ecr_image_path", "instance_type", "model_s3_path")
#: Whatever takes a text for a program or a query of its own; nothing that we send has any of them.
_INTERPRETERS: Final = frozenset(
    {"script", "script_fields", "runtime_mappings", "query_string", "simple_query_string", "regexp", "wildcard"}
)
_TOKEN: Final = re.compile("zq[0-9a-f]{16}")
_TARGET: Final = re.compile(
    rf"/({PREFIX}-(bots|endpoints|jobs|items)(-1)?/?(_doc/[A-Za-z0-9_-]+|_search|_mget|_count|_bulk|_refresh|_mapping|"
    rf"_alias/{PREFIX}-[a-z]+)?)?(\?[a-z_]+=[a-z0-9_]+(&[a-z_]+=[a-z0-9_]+)*)?"
    rf"|/_plugins/_security/api/(roles|rolesmapping)/{PREFIX}_[a-z_]+"
)


@dataclass
class Attack:
    """What was sent and what became of it; `bot`: one that is there, for what is done with it."""

    api: ApiClient
    bot: str
    sent: int = 0
    kept: int = 0
    names: set[str] = field(default_factory=set)  # texts with a token that the contract allows for a document's id

    def text(self, template: str) -> str:
        """Give a hostile text a token of its own, by which it is found wherever it goes."""
        text = template.replace(hostile.TOKEN, f"zq{secrets.token_hex(8)}")
        if is_name(text):
            self.names.add(text)
        return text

    def send(self, call: str, text: str, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Send it; whatever it is, the answer is ours, and no header of it comes from the text."""
        method, path = call.replace("BOT", self.bot).split(" ", 1)
        reply = self.api(method, path, body, headers)
        self.judge(f"{call} with {text!r}", text, reply)
        return reply

    def judge(self, told: str, text: str, reply: Reply, echoed: str = "") -> None:
        self.sent += 1
        assert reply.status < 500, (told, reply)
        assert "x-forged" not in reply.headers, (told, reply)
        for name, value in reply.headers.items():
            named = name == "location" and text in self.names
            assert not _TOKEN.search(value) or named or name == echoed, (told, name, value)
        assert not reply.body or reply.headers["content-type"] in ("application/json", "application/problem+json")
        self.kept += reply.status < 300 and not told.startswith("GET")


@dataclass(frozen=True)
class Target:
    """A stack whose OpenSearch requests and whose log are kept."""

    api: ApiClient
    proxy: SigningProxy
    log: FunctionLog


@pytest.fixture(scope="module")
def target(node: OpenSearchNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    own = {**LOGGING, "INDEX_PREFIX": PREFIX, "ENDPOINT_WAIT_SECONDS": "1"}
    path = tmp_path_factory.mktemp("log") / "functions.log"
    keys = Credentials(*CREDENTIALS.values())
    with SigningProxy(node.url, keys, REGION, log_size=LOG_SIZE) as proxy, ExitStack() as exits:
        with recorded(path):
            running = exits.enter_context(stack(proxy.url, listen(0), workers=2, extra=own, pace=0.05))
        yield Target(ApiClient(running.url, running.aws_url), proxy, FunctionLog(path))


def in_fields(attack: Attack, template: str, valid: Callable[[], dict[str, Any]]) -> None:
    """Send a text as each field of a bot, and as the name of one; what is kept is kept verbatim."""
    for name in TEXT_FIELDS:
        text = attack.text(template)
        bot = {**valid(), name: text}
        if name == "endpoint_name":
            attack.names |= {item.strip() for item in text.split(",")}
        reply = attack.send("POST /bots", text, bot)
        if reply.status == 422:
            assert f"/{name}" in reply.pointers, (name, text, reply)
            continue
        assert reply.status == 201, (name, text, reply)
        kept = ",".join(item.strip() for item in text.split(",")) if name in _LISTS else text
        assert attack.api("GET", f"/bots/{bot['name']}").json[name] == kept
        assert attack.api("PATCH", f"/bots/{bot['name']}", {name: text}).json[name] == kept
    text = attack.text(template)
    assert attack.send("POST /bots", text, {**valid(), text: "x"}).status == 422


def in_jobs(attack: Attack, template: str) -> None:
    """Send a text as each field of a job."""
    for name in JOB_FIELDS:
        text = attack.text(template)
        job = {"bot_name": attack.bot, "s3_bucket": "media", "output_s3_bucket": "results", name: text}
        reply = attack.send("POST /jobs", text, job)
        if reply.status == 202:
            assert attack.api("GET", f"/jobs/{reply.json['job_id']}").json[name] == text
        else:
            assert reply.status in (404, 422), (name, text, reply)


def in_addresses(attack: Attack, template: str, valid: Callable[[], dict[str, Any]]) -> None:
    """Send a text encoded in each place of a path and a query, and as it is where a request line can hold it."""
    for call in PATHS + QUERIES:
        text = attack.text(template)
        body = {**valid(), "name": None} if call.startswith(("PUT", "PATCH")) else None
        attack.send(call.format(quote(text, safe="")), text, {k: v for k, v in body.items() if v} if body else None)
        if re.fullmatch(r"[!-~]+", text):
            attack.judge(f"{call} with {text!r} as it is", text, exchange(attack, call.format(text)))


def in_headers(attack: Attack, template: str, valid: Callable[[], dict[str, Any]]) -> None:
    """Send a text as it is, line breaks included, as the value of each header that anything looks at."""
    job = {"bot_name": attack.bot, "s3_bucket": "media", "output_s3_bucket": "results", "s3_path": "none/"}
    bodies = {"PUT /bots/BOT": {**valid(), "name": attack.bot}, "POST /jobs": job}
    for place in HEADERS:
        text = attack.text(template)
        call, _, header = place.rpartition(" ")
        body = bodies.get(call, valid() if call == "POST /bots" else None)
        echoed = header.lower() if header == "X-Amzn-RequestId" else ""
        attack.judge(f"{place} {text!r}", text, exchange(attack, call, f"{header}: {text}", body), echoed)


def exchange(attack: Attack, call: str, header: str = "X-Nothing: x", body: object = None) -> Reply:
    """Send a request that no HTTP client would make, and read the first answer."""
    address, call = urlsplit(attack.api.url), call.replace("BOT", attack.bot)
    payload = b"" if body is None else json.dumps(body).encode()
    head = f"{call} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(payload)}\r\n{header}\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(head.encode() + payload)
        answer = HTTPResponse(connection)
        answer.begin()
        body = answer.read()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    if headers.get("content-type", "").startswith("text/plain"):  # the server itself: it was no request of HTTP
        assert (answer.status, body) == (400, b"Invalid HTTP request received.")
        return Reply(answer.status, {}, b"")
    return Reply(answer.status, headers, body)


def keys_of(value: Any) -> Iterator[str]:
    """Give every key of a JSON value, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def decoded(target: str) -> str:
    """Undo any number of percent-encodings."""
    while (plain := unquote(target)) != target:
        target = plain
    return target


def examine(proxy: SigningProxy, names: set[str]) -> int:
    """Hold every request that OpenSearch has had against the promise; give how many have a token in their body."""
    lowered, marked = {name.lower() for name in names}, 0
    for method, target, body in proxy.log:
        assert _TARGET.fullmatch(target), f"{method} {target}"
        for token in _TOKEN.findall(decoded(target).lower()):
            id = target.partition("?")[0].rpartition("/_doc/")[2]
            assert id.lower() in lowered, f"{method} {target}: {token} is no name of a document"
        text = body.decode()
        documents = (
            [json.loads(line) for line in text.splitlines()] if "_bulk" in target else [json.loads(text or "{}")]
        )
        keys = {key for document in documents for key in keys_of(document)}
        assert not keys & _INTERPRETERS, f"{method} {target}: {text}"
        assert not any(_TOKEN.search(key) for key in keys), f"{method} {target}: {text}"
        marked += bool(_TOKEN.search(text))
    return marked


def parsed(line: str) -> Any:
    """Read a line of the functions' log, each of which is JSON."""
    try:
        return json.loads(line)
    except ValueError:
        raise AssertionError(f"a forged line: {line!r}") from None


def test_hostile_text_is_stored_verbatim_or_refused_and_is_text_all_along(
    torture: Torture, target: Target, configuration: Make
) -> None:
    templates = hostile.ALL[:: torture.size(1, short=9)]

    def valid() -> dict[str, Any]:
        return configuration(endpoint_ecr_image_path=None)

    def attacked_with(template: str) -> Attack:
        attack = Attack(target.api, target.api.register(valid()).json["name"])
        in_fields(attack, template, valid)
        in_jobs(attack, template)
        in_addresses(attack, template, valid)
        in_headers(attack, template, valid)
        assert target.api("GET", f"/bots/{attack.bot}").status == 200
        return attack

    attacks: list[Attack] = []
    with ThreadPoolExecutor(2) as pool:
        for attack in pool.map(attacked_with, templates):
            attacks.append(attack)
            torture.progress("hostile texts", len(attacks), len(templates))
    jobs = eventually(
        lambda: target.api("GET", "/jobs?limit=100&status=WAITING").json["jobs"], lambda found: not found, 60
    )

    assert jobs == []
    sent = sum(attack.sent for attack in attacks)
    names = {name for attack in attacks for name in attack.names}
    marked, requests = examine(target.proxy, names), target.proxy.accepted
    lines = [parsed(line) for line in target.log.text.split("\n")[:-1]]
    torture.report(
        "injection",
        sent,
        "hostile requests",
        goal="stored verbatim or refused; in OpenSearch's JSON bodies alone; no line forged",
        holds=marked > 0 and len(lines) > sent / 2 and not any("forged" in line for line in lines),
        note=f"{len(templates)} texts in every field, path, query and header; "
        f"{sum(attack.kept for attack in attacks):,} kept; "
        f"{requests:,} requests to OpenSearch, {marked:,} with such text; {len(lines):,} log lines",
    )
    assert requests <= LOG_SIZE
    assert target.proxy.refused == []
    assert {line["service"] for line in lines} == {"byob"}
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", target.log.text)
