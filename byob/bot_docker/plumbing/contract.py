"""The ten environment variables that the platform gives a bot, and those that an image may set for itself."""

import os
import socket
from dataclasses import dataclass
from typing import Any

from plumbing.errors import PermanentError

_MAY_BE_EMPTY = {"output_s3_prefix"}  # AWS Batch leaves out a variable whose value is empty
_PROTOCOLS = {"http", "https"}


@dataclass(frozen=True)
class Environment:
    """What the platform says: which slice, where its list is, which endpoint, where results go. All text."""

    region_name: str
    endpoint_name: str
    output_s3_bucket: str
    output_s3_prefix: str
    es_host: str
    es_port: str
    es_protocol: str
    es_index: str
    batch_id: str
    job_id: str

    @classmethod
    def read(cls) -> "Environment":
        """Read all variables; raise PermanentError that names every one that is missing."""
        values = {name: os.environ.get(name, "").strip() for name in cls.__dataclass_fields__}
        missing = [name for name, value in values.items() if not value and name not in _MAY_BE_EMPTY]
        if missing:
            raise PermanentError(f"these environment variables are missing: {', '.join(missing)}")
        if values["es_protocol"] not in _PROTOCOLS or not values["es_port"].isdecimal():
            raise PermanentError("es_protocol must be http or https, and es_port a number")
        return cls(**values)

    @property
    def es_url(self) -> str:
        """Where the domain is; `es_host` may come with a scheme, which es_protocol rules."""
        host = self.es_host.rpartition("://")[2].rstrip("/")
        return f"{self.es_protocol}://{host}:{self.es_port}"

    def output_key(self, file_key: str) -> str:
        """Give the key of a file's result: the whole input key, so that equal basenames never collide."""
        prefix = self.output_s3_prefix
        separator = "" if not prefix or prefix.endswith("/") else "/"
        return f"{prefix}{separator}{file_key}.json"


def endpoint_names() -> list[str]:
    """Give the names of the bot's endpoints; the first is the default."""
    names = [name.strip() for name in os.environ.get("endpoint_name", "").split(",")]  # noqa: SIM112  # the contract's
    return [name for name in names if name]


def region_name() -> str | None:
    """Give the region to work in; None leaves it to boto3."""
    return os.environ.get("region_name")  # noqa: SIM112  # the contract's


def worker_name() -> str:
    """Name this worker: AWS Batch's job and attempt, elsewhere host and process."""
    job = os.environ.get("AWS_BATCH_JOB_ID")
    return f"{job}#{os.environ.get('AWS_BATCH_JOB_ATTEMPT', '1')}" if job else f"{socket.gethostname()}-{os.getpid()}"


def patience_seconds() -> float:
    """How long the domain or an endpoint may be away before it is given up."""
    return _seconds("PATIENCE_SECONDS", 120)


def grace_seconds() -> float:
    """How long a file that is being worked on may still take after SIGTERM."""
    return _seconds("GRACE_SECONDS", 20)


def retries() -> dict[str, Any]:
    """How botocore shall retry, in its `retries`: with growing, random pauses of up to 20 s, AWS_MAX_ATTEMPTS times."""
    return {"mode": "standard", "max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", "8"))}


def _seconds(name: str, default: float) -> float:
    text = os.environ.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise PermanentError(f"{name} must be a number of seconds, not {text!r}") from None
