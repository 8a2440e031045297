import hashlib
import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from opensearchpy import Urllib3HttpConnection
from opensearchpy.exceptions import AuthorizationException
from requests.structures import CaseInsensitiveDict
from requests_aws4auth import AWS4Auth

from tests.proxies import FaultProxy, SigningProxy

REGION = "eu-west-1"
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI", "session-token/with+signs==")
GONE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)

AWKWARD: dict[str, tuple[str, str, bytes | None]] = {
    "empty body": ("GET", "/", None),
    "head": ("HEAD", "/bots", None),
    "json body": ("PUT", "/bots/_doc/invoice-reader?op_type=create", b'{"name":"invoice-reader"}'),
    "unicode body": ("POST", "/bots/_search", '{"name":"Rechnungsprüfer 📄"}'.encode()),
    "encoded slash": ("GET", "/bots/_doc/a%2Fb", None),
    "encoded unicode": ("GET", "/bots/_doc/%C3%BC%20%F0%9F%93%84", None),
    "encoded percent": ("GET", "/bots/_doc/100%25", None),
    "reserved characters": ("GET", "/bots,jobs*/_doc/a%3A%2B%40", None),
    "doubled slash": ("GET", "/bots//_doc/x/", None),
    "space in the query": ("GET", "/_search?q=a%20b%20c", None),
    "repeated query names": ("GET", "/_search?tag=b&tag=a&tag=%C3%A4&size=1", None),
    "query without values": ("DELETE", "/bots/_doc/x?refresh&pretty=", None),
    "encoded reserved query": ("GET", "/_search?filter_path=hits.hits%2C_seq_no&routing=a%3Db%26c~_-.", None),
}


class EchoNode(BaseHTTPRequestHandler):
    """Answers with what it was asked, and remembers it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen: ClassVar[list[str]] = []

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        self.seen.append(self.path)
        answer = json.dumps({"method": self.command, "path": self.path, "body": body.decode()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def serve(handler: type[EchoNode]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Client:
    """One keep-alive connection that sends targets as they are written."""

    def __init__(self, url: str, *, timeout_seconds: float = 5) -> None:
        self.address = urlsplit(url).netloc
        self.connection = http.client.HTTPConnection(self.address, timeout=timeout_seconds)

    def __call__(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any] | None]:
        self.connection.request(method, target, body, headers or {})
        response = self.connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None


Connect = Callable[..., Client]


@pytest.fixture(scope="module")
def node() -> Iterator[SimpleNamespace]:
    with serve(EchoNode) as url:
        yield SimpleNamespace(url=url, seen=EchoNode.seen)


@pytest.fixture
def signing(node: SimpleNamespace) -> Iterator[SigningProxy]:
    with SigningProxy(node.url, CREDENTIALS, REGION) as proxy:
        yield proxy


@pytest.fixture
def faults(node: SimpleNamespace) -> Iterator[FaultProxy]:
    node.seen.clear()
    with FaultProxy(node.url) as proxy:
        yield proxy


@pytest.fixture
def connect() -> Iterator[Connect]:
    clients: list[Client] = []

    def make(url: str, **options: Any) -> Client:
        clients.append(Client(url, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.connection.close()


def signed_by_botocore(
    client: Client,
    method: str,
    target: str,
    body: bytes | None = None,
    *,
    credentials: Credentials = CREDENTIALS,
    region: str = REGION,
    service: str = "es",
) -> dict[str, str]:
    request = AWSRequest(method, f"http://{client.address}{target}", data=body, headers={"X-Opaque-Id": "a  b"})
    SigV4Auth(credentials, service, region).add_auth(request)
    return dict(request.headers.items())


def opensearch_connection(proxy: SigningProxy) -> Urllib3HttpConnection:
    auth = AWS4Auth(CREDENTIALS.access_key, CREDENTIALS.secret_key, REGION, "es", session_token=CREDENTIALS.token)

    def sign(method: str, url: str, body: bytes | None) -> CaseInsensitiveDict[str]:
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        auth(SimpleNamespace(method=method, url=url, body=body, headers=headers))
        return headers

    address = urlsplit(proxy.url)
    return Urllib3HttpConnection(host=str(address.hostname), port=address.port, http_auth=sign)


@pytest.mark.parametrize(("method", "target", "body"), AWKWARD.values(), ids=AWKWARD.keys())
def test_what_opensearch_py_sends_with_aws4auth_is_accepted(
    signing: SigningProxy, method: str, target: str, body: bytes | None
) -> None:
    connection = opensearch_connection(signing)

    status, _, content = connection.perform_request(method, target, body=body)
    connection.close()

    assert (status, signing.refused, signing.accepted) == (200, [], 1)
    assert signing.log == [(method, target, body or b"")]
    if method != "HEAD":
        assert json.loads(content) == {"method": method, "path": target, "body": (body or b"").decode()}


@pytest.mark.parametrize(("method", "target", "body"), AWKWARD.values(), ids=AWKWARD.keys())
def test_what_botocore_signs_is_accepted(
    signing: SigningProxy, connect: Connect, method: str, target: str, body: bytes | None
) -> None:
    client = connect(signing.url)

    status, _ = client(method, target, body, signed_by_botocore(client, method, target, body))

    assert (status, signing.refused) == (200, [])


def test_a_space_sent_as_a_plus_is_refused(signing: SigningProxy) -> None:
    # AWS takes a plus for a plus; opensearch-py sends one for a space, and AWS4Auth signs %20.
    connection = opensearch_connection(signing)

    with pytest.raises(AuthorizationException):
        connection.perform_request("GET", "/_search", params={"q": "a b"})
    connection.close()

    assert signing.accepted == 0


def test_a_query_that_the_signer_did_not_encode_is_refused(signing: SigningProxy, connect: Connect) -> None:
    client = connect(signing.url)

    status, _ = client("GET", "/_search?q=a,b", None, signed_by_botocore(client, "GET", "/_search?q=a,b"))

    assert status == 403


TARGET = "/bots/_doc/invoice-reader?if_seq_no=7"
BODY = b'{"bot_image":"a"}'
OLD = (datetime.now(UTC) - timedelta(minutes=6)).strftime("%Y%m%dT%H%M%SZ")
A_MINUTE_AGO = "a minute ago"  # told when the test runs, which may be long after it was collected
OTHER_HASH = hashlib.sha256(b"other").hexdigest()

TAMPERED: dict[str, tuple[dict[str, Any], str]] = {
    "method": ({"method": "POST"}, "does not match"),
    "body": ({"body": b'{"bot_image":"b"}'}, "does not match"),
    "body dropped": ({"body": None}, "does not match"),
    "path": ({"target": "/bots/_doc/other-reader?if_seq_no=7"}, "does not match"),
    "query": ({"target": "/bots/_doc/invoice-reader?if_seq_no=8"}, "does not match"),
    "query added": ({"target": f"{TARGET}&refresh=true"}, "does not match"),
    "signed header": ({"X-Opaque-Id": "c"}, "does not match"),
    "signed header not sent": ({"X-Opaque-Id": None}, "signed but not sent: x-opaque-id"),
    "other host": ({"Host": "elsewhere:9200"}, "does not match"),
    "date": ({"X-Amz-Date": A_MINUTE_AGO}, "does not match"),
    "stale date": ({"X-Amz-Date": OLD}, "Signature expired"),
    "date missing": ({"X-Amz-Date": None}, "missing or no date"),
    "token missing": ({"X-Amz-Security-Token": None}, "security token"),
    "other token": ({"X-Amz-Security-Token": "other"}, "security token"),
    "content hash of another body": ({"X-Amz-Content-SHA256": OTHER_HASH}, "not the hash of the body"),
    "payload not signed": ({"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}, "not the hash of the body"),
    "unsigned": ({"Authorization": None}, "Missing Authentication"),
    "other scheme": ({"Authorization": "Basic YTpi"}, "Missing Authentication"),
}


@pytest.mark.parametrize(("changes", "reason"), TAMPERED.values(), ids=TAMPERED.keys())
def test_what_was_changed_after_signing_is_refused(
    signing: SigningProxy, node: SimpleNamespace, connect: Connect, changes: dict[str, Any], reason: str
) -> None:
    client = connect(signing.url)
    signed = {
        "method": "PUT",
        "target": TARGET,
        "body": BODY,
        **signed_by_botocore(client, "PUT", TARGET, BODY),
    }
    node.seen.clear()

    sent = signed | changes
    if sent["X-Amz-Date"] == A_MINUTE_AGO:
        sent["X-Amz-Date"] = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y%m%dT%H%M%SZ")
    method, target, body = sent.pop("method"), sent.pop("target"), sent.pop("body")
    headers = {name: value for name, value in sent.items() if value is not None}
    status, answer = client(method, target, body, headers)

    assert status == 403
    assert answer == {"message": signing.refused[0]}
    assert reason in signing.refused[0]
    assert (signing.accepted, signing.log, node.seen) == (0, [], [])


SIGNERS: dict[str, tuple[dict[str, Any], str]] = {
    "secret": (
        {"credentials": Credentials(CREDENTIALS.access_key, "wrong", CREDENTIALS.token)},
        "does not match",
    ),
    "access key": (
        {"credentials": Credentials("AKIDOTHER", CREDENTIALS.secret_key, CREDENTIALS.token)},
        "scoped to",
    ),
    "no token": (
        {"credentials": Credentials(CREDENTIALS.access_key, CREDENTIALS.secret_key)},
        "security token",
    ),
    "region": ({"region": "us-east-1"}, "scoped to"),
    "service": ({"service": "aoss"}, "scoped to"),
}


@pytest.mark.parametrize(("signer", "reason"), SIGNERS.values(), ids=SIGNERS.keys())
def test_what_another_signer_signed_is_refused(
    signing: SigningProxy, connect: Connect, signer: dict[str, Any], reason: str
) -> None:
    client = connect(signing.url)

    status, _ = client("GET", "/", None, signed_by_botocore(client, "GET", "/", **signer))

    assert status == 403
    assert reason in signing.refused[0]


@pytest.mark.parametrize("header", ["host", "x-amz-date", "x-amz-security-token"])
def test_a_header_that_must_be_signed_may_not_be_left_out(signing: SigningProxy, connect: Connect, header: str) -> None:
    client = connect(signing.url)
    headers = signed_by_botocore(client, "GET", "/")
    headers["Authorization"] = headers["Authorization"].replace(f"{header};", "").replace(f";{header}", "")

    status, _ = client("GET", "/", None, headers)

    assert (status, signing.refused) == (403, [f"Headers must be signed: {header}"])


def test_a_date_in_the_scope_other_than_the_requests_is_refused(signing: SigningProxy, connect: Connect) -> None:
    client = connect(signing.url)
    headers = signed_by_botocore(client, "GET", "/")
    headers["Authorization"] = headers["Authorization"].replace(f"/{headers['X-Amz-Date'][:8]}/", "/20200101/")

    status, _ = client("GET", "/", None, headers)

    assert status == 403
    assert "scoped to" in signing.refused[0]


def test_a_connection_stays_open_after_a_refusal(signing: SigningProxy, connect: Connect) -> None:
    client = connect(signing.url)
    client("PUT", TARGET, BODY)
    open_socket = client.connection.sock

    status, _ = client("GET", "/", None, signed_by_botocore(client, "GET", "/"))

    assert status == 200
    assert client.connection.sock is open_socket


def test_reset_forgets_the_requests_so_far(signing: SigningProxy, connect: Connect) -> None:
    client = connect(signing.url)
    client("GET", "/", None, signed_by_botocore(client, "GET", "/"))
    client("GET", "/")

    signing.reset()

    assert (signing.accepted, signing.refused, signing.log) == (0, [], [])


def test_fifty_connections_at_once_are_served(signing: SigningProxy, connect: Connect) -> None:
    def ask_ten_times(number: int) -> list[Any]:
        client = connect(signing.url)
        target = f"/bots/_doc/{number}"
        return [client("GET", target, None, signed_by_botocore(client, "GET", target)) for _ in range(10)]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask_ten_times, range(50)))

    assert (signing.accepted, signing.refused) == (500, [])
    for number, answered in enumerate(answers):
        assert answered == [(200, {"method": "GET", "path": f"/bots/_doc/{number}", "body": ""})] * 10


def test_forward_passes_requests_and_answers_on(faults: FaultProxy, connect: Connect) -> None:
    client = connect(faults.url)

    answers = [client("PUT", TARGET, BODY), client("HEAD", "/"), client("GET", "/")]

    assert answers == [
        (200, {"method": "PUT", "path": TARGET, "body": BODY.decode()}),
        (200, None),
        (200, {"method": "GET", "path": "/", "body": ""}),
    ]
    assert faults.requests == 3


def test_refuse_closes_open_connections_and_takes_no_new_ones(faults: FaultProxy, connect: Connect) -> None:
    client = connect(faults.url)
    client("GET", "/")
    url = faults.url

    faults.refuse()

    with pytest.raises(GONE):
        client("GET", "/")
    with pytest.raises(ConnectionRefusedError):
        connect(url)("GET", "/")
    faults.forward()
    assert connect(url)("GET", "/")[0] == 200
    assert faults.requests == 2


def test_hang_takes_a_request_and_says_nothing(faults: FaultProxy, node: SimpleNamespace, connect: Connect) -> None:
    client = connect(faults.url, timeout_seconds=0.1)
    client("GET", "/")

    faults.hang()

    with pytest.raises(TimeoutError):
        client("GET", "/unanswered")
    assert (faults.requests, node.seen) == (2, ["/"])


def test_answer_speaks_in_the_nodes_place(faults: FaultProxy, node: SimpleNamespace, connect: Connect) -> None:
    client = connect(faults.url)
    client("GET", "/")

    faults.answer(429, b'{"error":"rejected"}', {"Retry-After": "3"})

    assert client("PUT", TARGET, BODY) == (429, {"error": "rejected"})
    assert client("HEAD", "/") == (429, None)
    client.connection.request("GET", "/")
    with client.connection.getresponse() as response:
        assert response.headers["Retry-After"] == "3"
        assert response.headers["Content-Type"].startswith("application/json")
    assert node.seen == ["/"]


def test_drop_answers_loses_only_as_many_matching_answers_and_no_request(
    faults: FaultProxy, node: SimpleNamespace, connect: Connect
) -> None:
    client = connect(faults.url)
    client("GET", "/")

    faults.drop_answers(1, matching=lambda method, path, body: (method, path, body) == ("PUT", TARGET, BODY))

    assert client("GET", "/other")[0] == 200
    with pytest.raises(http.client.RemoteDisconnected):
        client("PUT", TARGET, BODY)
    assert client("PUT", TARGET, BODY)[0] == 200
    assert node.seen == ["/", "/other", TARGET, TARGET]


def test_drop_requests_keeps_matching_ones_from_the_node(
    faults: FaultProxy, node: SimpleNamespace, connect: Connect
) -> None:
    client = connect(faults.url)

    faults.drop_requests(1, matching=lambda method, _path, _body: method == "PUT")

    assert client("GET", "/other")[0] == 200
    with pytest.raises(GONE):
        client("PUT", TARGET, BODY)
    assert client("PUT", TARGET, BODY)[0] == 200
    assert node.seen == ["/other", TARGET]


def test_reset_connections_resets_open_and_new_ones(faults: FaultProxy, connect: Connect) -> None:
    client = connect(faults.url)
    client("GET", "/")

    faults.reset_connections()

    with pytest.raises(ConnectionResetError):
        client("GET", "/")
    with pytest.raises(ConnectionResetError):
        connect(faults.url)("GET", "/")
    faults.forward()
    assert connect(faults.url)("GET", "/")[0] == 200


def test_reset_connections_reaches_one_that_hangs(faults: FaultProxy, connect: Connect) -> None:
    client = connect(faults.url, timeout_seconds=0.1)
    faults.hang()
    client.connection.request("GET", "/")
    with pytest.raises(TimeoutError):
        client.connection.sock.recv(1)

    faults.reset_connections()

    with pytest.raises(ConnectionResetError):
        client.connection.sock.recv(1)


def test_truncate_ends_in_the_middle_of_the_body(faults: FaultProxy, connect: Connect) -> None:
    client = connect(faults.url)
    _, whole = client("GET", "/")

    faults.truncate()

    with pytest.raises(http.client.IncompleteRead) as truncated:
        client("GET", "/")
    size_bytes = len(json.dumps(whole))
    assert len(truncated.value.partial) == size_bytes // 2
    assert truncated.value.expected == size_bytes - size_bytes // 2


def test_slow_holds_the_answer_back(faults: FaultProxy, connect: Connect) -> None:
    client = connect(faults.url)
    client("GET", "/")

    faults.slow(0.1)

    started = time.monotonic()
    assert client("GET", "/")[0] == 200
    assert time.monotonic() - started >= 0.1


def test_drip_sends_the_whole_answer_a_byte_at_a_time(faults: FaultProxy, connect: Connect) -> None:
    client = connect(faults.url)
    _, whole = client("GET", "/")
    received: list[bytes] = []

    faults.drip(0.001)
    client.connection.request("GET", "/")
    while not b"".join(received).endswith(json.dumps(whole).encode()):
        received.append(client.connection.sock.recv(65_536))

    assert b"".join(received).startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(received) > len(b"".join(received)) / 2  # two may arrive together


def test_vanish_answers_nothing_and_ends_nothing(faults: FaultProxy, node: SimpleNamespace, connect: Connect) -> None:
    client = connect(faults.url, timeout_seconds=0.2)
    client("GET", "/")

    faults.vanish()

    with pytest.raises(TimeoutError):
        client("GET", "/unanswered")
    with pytest.raises(TimeoutError):
        connect(faults.url, timeout_seconds=0.2)("GET", "/unconnected")
    assert node.seen == ["/"]


def test_who_vanished_and_came_back_knows_no_connection_of_before(faults: FaultProxy, connect: Connect) -> None:
    client = connect(faults.url)
    client("GET", "/")
    faults.vanish()

    faults.forward()

    with pytest.raises(GONE):
        client("GET", "/")
    assert connect(faults.url)("GET", "/")[0] == 200


def test_at_random_fails_a_share_of_the_requests(faults: FaultProxy, node: SimpleNamespace, connect: Connect) -> None:
    faults.at_random("drop", "reset", share=0.5, seed=1)

    failed = 0
    for number in range(100):
        try:
            assert connect(faults.url)("GET", f"/{number}")[0] == 200
        except GONE:
            failed += 1

    assert 30 <= failed <= 70
    assert 100 - failed < len(node.seen) < 100  # what was dropped has been carried out, what was reset has not


@pytest.mark.parametrize("behaviour", ["hang", "slow", "vanish", "drip"])
def test_leaving_ends_every_thread_at_once(node: SimpleNamespace, connect: Connect, behaviour: str) -> None:
    threads_before = set(threading.enumerate())
    with FaultProxy(node.url) as proxy:
        idle, waiting = connect(proxy.url), connect(proxy.url, timeout_seconds=0.1)
        idle("GET", "/")
        order = getattr(proxy, behaviour)
        order(60) if behaviour in ("slow", "drip") else order()
        with pytest.raises(TimeoutError):
            waiting("GET", "/")
        started = time.monotonic()

    assert time.monotonic() - started < 1
    left = [
        thread for thread in set(threading.enumerate()) - threads_before if re.search("_serve|_accept", thread.name)
    ]
    assert left == []


def test_a_node_that_closes_idle_connections_is_connected_to_anew(connect: Connect) -> None:
    class ClosingNode(EchoNode):
        protocol_version = "HTTP/1.0"  # ends each answer by closing

    with serve(ClosingNode) as url, FaultProxy(url) as proxy:
        client = connect(proxy.url)
        answers = [client("GET", "/")[0] for _ in range(3)]

    assert answers == [200, 200, 200]
