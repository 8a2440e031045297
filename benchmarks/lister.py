"""An S3 that only lists, fast: ListObjectsV2 over keys in memory (S3 API). `python -m benchmarks.lister 200000` serves.

It answers path-style requests for any bucket. A test may have it refuse a bucket, or hold its pages back.
"""

import signal
import sys
import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qs, quote, urlsplit


class Refusal(NamedTuple):
    """What S3 answers about a bucket that it does not serve; HEAD has the status and the headers alone."""

    status: int
    error: str  # the elements of its Error
    headers: Mapping[str, str]


DENIED: Final = Refusal(403, "<Code>AccessDenied</Code><Message>Access Denied</Message>", {})


class Lister:
    """Serves sorted keys of one byte each; `pages` counts the pages that were asked for."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.refusals: dict[str, Refusal] = {}
        self.pages = 0
        self.lets_through = threading.Event()
        self.lets_through.set()
        self._keys = keys
        lister = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                refusal = self._refusal()
                self._answer(refusal.status if refusal else 200, b"", refusal.headers if refusal else {})

            def do_GET(self) -> None:
                if refusal := self._refusal():
                    self._answer(refusal.status, f"<Error>{refusal.error}</Error>".encode(), refusal.headers)
                    return
                query = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
                self._answer(200, lister.page(query), {})

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def _refusal(self) -> Refusal | None:
                return lister.refusals.get(urlsplit(self.path).path.split("/")[1])

            def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it answers, for AWS_ENDPOINT_URL_S3."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def page(self, query: dict[str, str]) -> bytes:
        """Render the page that a query asks for."""
        self.pages += 1
        self.lets_through.wait()
        most = int(query.get("max-keys", "1000"))
        begin = bisect_right(self._keys, query.get("start-after", ""))
        keys = self._keys[begin : begin + most]
        more = "true" if begin + most < len(self._keys) else "false"
        entries = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>2026-11-24T09:30:00.000Z</LastModified>"
            f"<ETag>&quot;0cc175b9c0f1b6a831c399e269772661&quot;</ETag><Size>1</Size>"
            f"<StorageClass>STANDARD</StorageClass></Contents>"
            for key in keys
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{more}</IsTruncated>{entries}<KeyCount>{len(keys)}</KeyCount>"
            f"<EncodingType>url</EncodingType></ListBucketResult>"
        ).encode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.lets_through.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def keys(count: int) -> list[str]:
    """Make so many keys, sorted."""
    return [f"pictures/{number // 1000:05}/{number:09}.jpg" for number in range(count)]


if __name__ == "__main__":
    with Lister(keys(int(sys.argv[1]))) as serving:
        print(serving.url, flush=True)
        signal.pause()
