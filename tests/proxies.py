"""HTTP/1.1 proxies that tests put between the handlers and an OpenSearch node, both on 127.0.0.1.

`SigningProxy` lets rightly signed requests through, as OpenSearch Service does, and tells a node with the security
plugin which role has signed; `FaultProxy` fails as told.
Each is a context manager: it listens on entering, and ends its threads and closes its sockets on leaving.
"""

import hashlib
import hmac
import json
import random
import re
import select
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPException, HTTPResponse
from typing import BinaryIO, ClassVar, Literal, Self
from urllib.parse import quote, unquote_to_bytes, urlsplit

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.identities import keys_of, role_of
from local.opensearch import security
from local.template import role_arns

#: The backend role of those who sign with keys that are no role's of the template: what tests do themselves.
TESTER = "tester"
_HOST = "127.0.0.1"
_LINE_SIZE_BYTES = 65_536
_NODE_CONNECT_SECONDS = 5
_STOP_SECONDS = 5
_UNANSWERED_SECONDS = 0.2  # on one machine a connection takes a fraction of a millisecond
_LINGER_ZERO = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER on for 0 s: close() sends RST instead of FIN
_MAX_CLOCK_SKEW = timedelta(minutes=5)  # IAM User Guide, "Troubleshoot Signature Version 4 signing"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<credential>[^, ]+), ?SignedHeaders=(?P<signed_headers>[^, ]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Request:
    """A received request; `target` is the path with its query, still encoded, `head` all before the body."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    head: bytes

    @classmethod
    def read(cls, stream: BinaryIO) -> "Request | None":
        """Read the next request; None where the client has left."""
        lines = []
        while (line := stream.readline(_LINE_SIZE_BYTES)) != b"\r\n":
            if not line:
                return None
            lines.append(line)
        method, target, _ = lines[0].decode("latin-1").split()
        fields = (line.decode("latin-1").partition(":") for line in lines[1:])
        headers = tuple((name.strip().lower(), value.strip()) for name, _, value in fields)
        if any(name == "transfer-encoding" for name, _ in headers):
            raise NotImplementedError("a request in chunks; opensearch-py sends none")
        size_bytes = int(dict(headers).get("content-length", "0"))
        body = stream.read(size_bytes)
        if len(body) < size_bytes:
            return None
        return cls(method, target, headers, body, b"".join(lines) + b"\r\n")

    def with_headers(self, headers: Mapping[str, str]) -> "Request":
        """Put headers in place of what the client says under the same names."""
        first, *lines = self.head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        kept = [line for line in lines if line.partition(b":")[0].strip().lower().decode("latin-1") not in headers]
        added = [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
        return replace(self, head=b"\r\n".join([first, *kept, *added]) + b"\r\n\r\n")

    def header(self, name: str) -> str | None:
        """Look up a header by its name in lower case; one sent several times is joined by commas."""
        values = [value for sent, value in self.headers if sent == name]
        return ",".join(values) if values else None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the node or in its place."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def made(cls, status: int, body: bytes, headers: Mapping[str, str]) -> Self:
        """Make an answer of JSON, unless `headers` name another content type."""
        fields = {"content-type": "application/json; charset=UTF-8", "content-length": str(len(body))}
        fields |= {name.lower(): value for name, value in headers.items()}
        return cls(status, "", tuple(fields.items()), body)

    @classmethod
    def read(cls, response: HTTPResponse) -> Self:
        """Read a whole answer; one that came in chunks or ended with the connection gets a Content-Length."""
        response.begin()
        body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        headers.pop("transfer-encoding", None)
        if response.status not in (204, 304):
            headers.setdefault("content-length", str(len(body)))
        return cls(response.status, response.reason, tuple(headers.items()), body)

    def head(self) -> bytes:
        """Write the status line and the headers as they go over the wire."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return f"HTTP/1.1 {self.status} {self.reason}\r\n{fields}\r\n".encode("latin-1")

    def whole(self, request: Request) -> bytes:
        """Write all that goes over the wire in answer to a request."""
        return self.head() + (b"" if request.method == "HEAD" else self.body)


class Connection:
    """A client's connection, with one to the node behind it; only its own thread reads, writes and closes."""

    def __init__(self, client: socket.socket, node_address: tuple[str, int]) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.interrupted = threading.Event()
        self._client = client
        self._stream = client.makefile("rb")
        self._node_address = node_address
        self._node: socket.socket | None = None

    def receive(self) -> Request | None:
        """Wait for the next request; None where the client has left."""
        return Request.read(self._stream)

    def ask_node(self, request: Request) -> Answer:
        """Forward a request and wait for the whole answer; OSError or HTTPException where none comes."""
        node = self._node_socket()
        node.sendall(request.head + request.body)
        response = HTTPResponse(node, method=request.method)
        try:
            return Answer.read(response)
        finally:
            if response.will_close:
                self._close_node()
            response.close()

    def send(self, answer: Answer, request: Request) -> None:
        """Pass an answer on to the client."""
        self.send_bytes(answer.whole(request))

    def send_bytes(self, data: bytes) -> None:
        """Send to the client what may be a part of an answer."""
        self._client.sendall(data)

    def wait_for_end(self) -> None:
        """Say nothing until the client leaves or the proxy interrupts."""
        while self._stream.read1():
            pass

    def reset(self) -> None:
        """Make the coming close a TCP RST."""
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)

    def interrupt(self, *, reset: bool) -> None:
        """Make the connection's thread end, from any other; with `reset` the client sees a TCP RST."""
        self.interrupted.set()
        with suppress(OSError):
            if reset:
                self.reset()
            # Shutting down the sending side would send FIN: the client would see a clean end before the RST.
            self._client.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
        node = self._node
        if node:
            with suppress(OSError):
                node.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close both sides."""
        self._stream.close()
        self._client.close()
        self._close_node()

    def _node_socket(self) -> socket.socket:
        if self._node and _has_ended(self._node):
            self._close_node()
        if not self._node:
            self._node = socket.create_connection(self._node_address, timeout=_NODE_CONNECT_SECONDS)
            self._node.settimeout(None)
            self._node.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.interrupted.is_set():  # by a thread that may have come too early to see the node's socket
            raise ConnectionAbortedError("the proxy closes this connection")
        return self._node

    def _close_node(self) -> None:
        if self._node:
            self._node.close()
            self._node = None


#: What at_random has to choose from: lose the answer, reset the connection, end in the body, say nothing.
Fault = Literal["drop", "reset", "truncate", "hang"]
_Behaviour = Callable[[Connection, Request], bool]


class _Proxy(ABC):
    """A listener on a port of its own and one thread a connection."""

    def __init__(self, upstream_url: str) -> None:
        upstream = urlsplit(upstream_url)
        if upstream.scheme != "http" or not upstream.hostname:
            raise ValueError(f"the upstream must be an http:// URL, not {upstream_url!r}")
        self._node_address = (upstream.hostname, upstream.port or 80)
        self._port = 0  # the system's choice, kept from the first listening on
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._acceptor: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        """Where the proxy listens, once entered."""
        return f"http://{_HOST}:{self._port}"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_listening()
        self._end_connections(reset=False)

    @abstractmethod
    def _handle(self, connection: Connection, request: Request) -> bool:
        """Deal with a request; False where the connection ends with it."""

    def _listen(self) -> None:
        if self._acceptor:
            return
        listener = socket.create_server((_HOST, self._port), backlog=128)
        self._port = listener.getsockname()[1]
        self._stopping.clear()
        self._acceptor = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._acceptor.start()

    def _stop_listening(self) -> None:
        if not self._acceptor:
            return
        self._stopping.set()
        with suppress(OSError):  # closed already where a client's connection woke the acceptor first
            socket.create_connection((_HOST, self._port), timeout=_STOP_SECONDS).close()
        self._acceptor.join(_STOP_SECONDS)
        self._acceptor = None

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                client, _ = listener.accept()
                if self._stopping.is_set():
                    client.close()
                    return
                connection = Connection(client, self._node_address)
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                with self._lock:  # who finds it in the dict may join it, so it has been started by then
                    self._connections[connection] = thread
                    thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            with suppress(OSError, HTTPException):  # either side has gone: the other is told by closing
                while (request := connection.receive()) and self._handle(connection, request):
                    if (request.header("connection") or "").lower() == "close":
                        break
        finally:
            connection.close()
            with self._lock:
                del self._connections[connection]

    def _end_connections(self, *, reset: bool) -> None:
        with self._lock:
            open_now = list(self._connections.items())
        for connection, _ in open_now:
            connection.interrupt(reset=reset)
        for _, thread in open_now:
            thread.join(_STOP_SECONDS)


class _RefusedError(Exception):
    """Raised in this module for a request that OpenSearch Service would not let through, with the reason."""


class SigningProxy(_Proxy):
    """Forwards what is rightly signed for `region` and `service`, and answers 403 to all else.

    A request is checked with the keys of the role of the template whose access key id it carries, and forwarded as that
    role's, which `backend_role` gives; one signed with `credentials` is forwarded as the TESTER's.
    `accepted` counts the requests let through, `refused` holds the reason of each that was not; of the last `log_size`
    that were accepted, `log` tells what they were.
    """

    #: Told of every request that is let through.
    witness: ClassVar[Callable[[Request], None] | None] = None

    def __init__(
        self,
        upstream_url: str,
        credentials: Credentials,
        region: str,
        service: str = "es",
        *,
        log_size: int = 10_000,
        backend_role: Callable[[str], str] = lambda role: role_arns()[role],
    ) -> None:
        super().__init__(upstream_url)
        self._backend_role = backend_role
        self._log_size = log_size
        self._credentials = credentials
        self._region = region
        self._service = service
        self.reset()

    def reset(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self.accepted = 0
            self.refused: list[str] = []
            self._log: deque[Request] = deque(maxlen=self._log_size)

    def forget_log(self) -> None:
        """Forget what the requests so far were, not how many were accepted and refused."""
        with self._lock:
            self._log.clear()

    @property
    def requests(self) -> list[Request]:
        """The last accepted requests as they arrived, whole."""
        with self._lock:
            return list(self._log)

    @property
    def log(self) -> list[tuple[str, str, bytes]]:
        """The last accepted requests: method, path with query, body."""
        return [(request.method, request.target, request.body) for request in self.requests]

    def _handle(self, connection: Connection, request: Request) -> bool:
        try:
            backend_role = self._verify(request)
        except _RefusedError as error:
            with self._lock:
                self.refused.append(str(error))
            connection.send(Answer.made(403, json.dumps({"message": str(error)}).encode(), {}), request)
            return True
        with self._lock:
            self.accepted += 1
            self._log.append(request)
        if SigningProxy.witness:
            SigningProxy.witness(request)
        return _forward(connection, request.with_headers(security.headers_for(backend_role)))

    def _verify(self, request: Request) -> str:
        """Give the backend role of who has signed."""
        authorization = _AUTHORIZATION.fullmatch(request.header("authorization") or "")
        if not authorization:
            raise _RefusedError("Missing Authentication Token")
        role = role_of(authorization["credential"].partition("/")[0])
        credentials = Credentials(*keys_of(role).values()) if role else self._credentials
        signer = SigV4Auth(credentials, self._service, self._region)
        timestamp = request.header("x-amz-date") or ""
        try:
            signed_at = datetime.strptime(timestamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
        except ValueError as error:
            raise _RefusedError("X-Amz-Date is missing or no date") from error
        if abs(datetime.now(UTC) - signed_at) > _MAX_CLOCK_SKEW:
            raise _RefusedError(f"Signature expired: {timestamp} is more than {_MAX_CLOCK_SKEW} from now")
        if request.header("x-amz-security-token") != credentials.token:
            raise _RefusedError("The security token included in the request is invalid")
        if request.header("x-amz-content-sha256") not in (None, hashlib.sha256(request.body).hexdigest()):
            raise _RefusedError("X-Amz-Content-SHA256 is not the hash of the body")

        signed_headers = authorization["signed_headers"].split(";")
        required = {"host", "x-amz-date"} | ({"x-amz-security-token"} if credentials.token else set())
        if unsigned := required.difference(signed_headers):
            raise _RefusedError(f"Headers must be signed: {', '.join(sorted(unsigned))}")
        if unsent := set(signed_headers).difference(name for name, _ in request.headers):
            raise _RefusedError(f"Headers are signed but not sent: {', '.join(sorted(unsent))}")

        rebuilt = _rebuilt(request, signed_headers, timestamp)
        if authorization["credential"] != signer.scope(rebuilt):
            raise _RefusedError(f"Credential should be scoped to {signer.scope(rebuilt)}")
        to_sign = signer.string_to_sign(rebuilt, signer.canonical_request(rebuilt))
        if not hmac.compare_digest(authorization["signature"], signer.signature(to_sign, rebuilt)):
            raise _RefusedError("The request signature we calculated does not match the one you provided")
        return self._backend_role(role) if role else TESTER


class FaultProxy(_Proxy):
    """Forwards until told otherwise; a new behaviour holds from the next request on, on open connections too.

    A request that is already being dealt with keeps the behaviour it met, unless its connection is closed.
    """

    def __init__(self, upstream_url: str) -> None:
        super().__init__(upstream_url)
        self._changing = threading.Lock()
        self._behaviour: _Behaviour = _forward
        self._requests = 0
        self._deaf: list[socket.socket] = []

    def __exit__(self, *error: object) -> None:
        self._be_there_again()
        super().__exit__(*error)

    @property
    def requests(self) -> int:
        """How many requests have arrived whole, whatever became of them."""
        with self._lock:
            return self._requests

    def forward(self) -> None:
        """Pass requests and answers on."""
        self._behave(_forward)

    def refuse(self) -> None:
        """Close the open connections and stop listening, until another behaviour is set; the port stays."""
        with self._changing:
            self._be_there_again()
            self._stop_listening()
            self._end_connections(reset=False)

    def hang(self) -> None:
        """Take requests and say nothing, until the client leaves."""
        self._behave(_hang)

    def vanish(self) -> None:
        """Be gone without a word, as a machine without power: nothing is answered, made, refused or ended.

        With the next behaviour it is there again, and resets what it does not know of any more.
        """
        with self._changing:
            self._be_there_again()
            self._stop_listening()
            self._behaviour = _ignore
            self._deaf = _deaf_listener(self._port)

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Answer in the node's place; `body` is JSON unless `headers` name another content type."""
        made = Answer.made(status, body, headers or {})

        def behaviour(connection: Connection, request: Request) -> bool:
            connection.send(made, request)
            return True

        self._behave(behaviour)

    def drop_answers(
        self, count: int, matching: Callable[[str, str, bytes], bool] = lambda _method, _path, _body: True
    ) -> None:
        """Let the node answer the next `count` requests, but close instead of passing its answers on.

        Only those for which `matching(method, path_with_query, body)` is true; all others are forwarded.
        """
        self._for_the_next(count, matching, _drop)

    def drop_requests(self, count: int, matching: Callable[[str, str, bytes], bool]) -> None:
        """Close instead of passing the next `count` requests on, chosen as by `drop_answers`."""
        self._for_the_next(count, matching, _close)

    def _for_the_next(self, count: int, matching: Callable[[str, str, bytes], bool], fault: _Behaviour) -> None:
        remaining = count

        def behaviour(connection: Connection, request: Request) -> bool:
            nonlocal remaining
            matches = matching(request.method, request.target, request.body)
            with self._lock:
                dropped = matches and remaining > 0
                remaining -= dropped
            return (fault if dropped else _forward)(connection, request)

        self._behave(behaviour)

    def reset_connections(self) -> None:
        """Reset (TCP RST) the open connections now, and each later one at its first request."""
        self._behave(_reset)
        self._end_connections(reset=True)

    def truncate(self) -> None:
        """Send half of the answer's body under its full Content-Length, then close."""
        self._behave(_truncate)

    def slow(self, seconds: float) -> None:
        """Hold the node's answer back for some time."""

        def behaviour(connection: Connection, request: Request) -> bool:
            answer = connection.ask_node(request)
            connection.interrupted.wait(seconds)
            connection.send(answer, request)
            return True

        self._behave(behaviour)

    def drip(self, seconds_a_byte: float) -> None:
        """Send the node's answer a byte at a time, its head too: there is always something to read, and never much."""

        def behaviour(connection: Connection, request: Request) -> bool:
            for byte in connection.ask_node(request).whole(request):
                connection.send_bytes(bytes([byte]))
                if connection.interrupted.wait(seconds_a_byte):
                    return False
            return True

        self._behave(behaviour)

    def at_random(self, *faults: Fault, share: float, seed: int) -> None:
        """Have about `share` of the requests (0 to 1) meet one of these faults; the rest are forwarded."""
        chosen = random.Random(seed)

        def behaviour(connection: Connection, request: Request) -> bool:
            with self._lock:
                fault = chosen.choice(faults) if chosen.random() < share else None
            return (_FAULTS[fault] if fault else _forward)(connection, request)

        self._behave(behaviour)

    def _behave(self, behaviour: _Behaviour) -> None:
        with self._changing:
            self._behaviour = behaviour
            self._be_there_again()
            self._listen()

    def _be_there_again(self) -> None:
        """End what `vanish` began."""
        deaf, self._deaf = self._deaf, []
        for endpoint in deaf:
            endpoint.close()
        if deaf:
            self._end_connections(reset=True)

    def _handle(self, connection: Connection, request: Request) -> bool:
        with self._lock:
            self._requests += 1
        return self._behaviour(connection, request)


def _forward(connection: Connection, request: Request) -> bool:
    connection.send(connection.ask_node(request), request)
    return True


def _hang(connection: Connection, _: Request) -> bool:
    connection.wait_for_end()
    return False


def _ignore(connection: Connection, _: Request) -> bool:
    connection.interrupted.wait()
    return False


def _close(_connection: Connection, _request: Request) -> bool:
    return False


def _drop(connection: Connection, request: Request) -> bool:
    connection.ask_node(request)
    return False


def _reset(connection: Connection, _: Request) -> bool:
    connection.reset()
    return False


def _truncate(connection: Connection, request: Request) -> bool:
    answer = connection.ask_node(request)
    connection.send_bytes(answer.head() + answer.body[: len(answer.body) // 2])
    return False


_FAULTS: dict[Fault, _Behaviour] = {"drop": _drop, "reset": _reset, "truncate": _truncate, "hang": _hang}


def _deaf_listener(port: int) -> list[socket.socket]:
    """Listen so that nobody gets through: of a listener whose queue is full, Linux drops what else comes (tcp(7))."""
    sockets = [socket.create_server((_HOST, port), backlog=0)]
    while True:
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex((_HOST, port))
        sockets.append(filler)
        if not select.select([], [filler], [], _UNANSWERED_SECONDS)[1]:
            return sockets


def _rebuilt(request: Request, signed_headers: list[str], timestamp: str) -> AWSRequest:
    """Rebuild what the client signed; the path stays as it was sent, as botocore encodes it once more."""
    path, _, query = request.target.partition("?")
    rebuilt = AWSRequest(
        method=request.method,
        url=f"http://{request.header('host')}{path}?{_canonical(query)}",
        data=request.body,
    )
    for name, value in request.headers:
        if name in signed_headers:
            rebuilt.headers.add_header(name, value)
    rebuilt.context["timestamp"] = timestamp
    return rebuilt


def _canonical(query: str) -> str:
    """Encode a query as AWS does to verify it, a plus being a plus; botocore takes it as already encoded."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, _, value in pairs)


def _encoded(part: str) -> str:
    return quote(unquote_to_bytes(part), safe="-_.~")


def _has_ended(idle: socket.socket) -> bool:
    """Tell whether the other side has closed an idle connection."""
    try:
        return idle.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
