"""Where local mode listens, and by which address containers on this machine reach it."""

import socket
from typing import Final
from urllib.parse import urlsplit, urlunsplit

LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - only where a person asks for it
# Nobody has this address (RFC 5737), and nothing is sent to it: a route is looked up.
_ELSEWHERE: Final = ("203.0.113.1", 9)


class AddressError(RuntimeError):
    """Raised when this machine does not have the address that is needed."""


def reachable(host: str) -> str:
    """Give the address at which this machine itself reaches a server that listens on `host`."""
    return LOOPBACK if host == EVERYWHERE else host


def for_containers(host: str) -> str:
    """Give the address at which a container reaches a server that listens on `host`.

    A number, not a name such as host.docker.internal: every engine routes to it without being told, and S3 clients
    put no bucket's name before it. Raises AddressError.
    """
    if host != EVERYWHERE:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
        except OSError as error:
            raise AddressError("this machine has no network address; name one that containers reach") from error
        address: str = probe.getsockname()[0]
    return address


def moved(url: str, address: str) -> str:
    """Give a URL that names loopback with `address` in its place, and any other as it is."""
    parts = urlsplit(url)
    if parts.hostname not in (LOOPBACK, "localhost"):
        return url
    return urlunsplit(parts._replace(netloc=address + (f":{parts.port}" if parts.port else "")))
