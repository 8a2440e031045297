"""The files and their results in S3; memory stays the same whatever their size."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ParamValidationError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from plumbing.contract import retries
from plumbing.errors import FileError, TransientError

_CHUNK_BYTES = 1024 * 1024
_STREAM_ATTEMPTS = 4  # botocore's retries end where the object's bytes begin
_PASSING = {"SlowDown", "RequestTimeout", "ExpiredToken", "RequestTimeTooSkewed", "Throttling", "ThrottlingException"}


class Objects:
    """S3, as the bot's role sees it."""

    def __init__(self, region: str) -> None:
        config = Config(retries=retries(), connect_timeout=5, read_timeout=60)
        self._s3 = boto3.client("s3", region_name=region, config=config)

    def download(self, bucket: str, key: str, file: Path) -> None:
        """Bring an object into a file; raise FileError or TransientError."""
        with _translated(bucket, key):
            for attempts_left in reversed(range(_STREAM_ATTEMPTS)):
                body = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
                try:
                    with body, file.open("wb") as target:
                        for chunk in body.iter_chunks(_CHUNK_BYTES):
                            target.write(chunk)
                except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                    if not attempts_left:
                        raise
                else:
                    return

    def upload(self, file: Path, bucket: str, key: str) -> None:
        """Write a result, JSON; raise FileError or TransientError."""
        with _translated(bucket, key), file.open("rb") as content:
            self._s3.put_object(Bucket=bucket, Key=key, Body=content, ContentType="application/json")


@contextmanager
def _translated(bucket: str, key: str) -> Iterator[None]:
    where = f"s3://{bucket}/{key}"
    try:
        yield
    except ClientError as error:
        raise _meaning(error.response, where) from error
    except ParamValidationError as error:
        raise FileError("ParamValidationError", f"{where}: {error}") from error
    except BotoCoreError as error:
        raise TransientError(f"S3 cannot be reached for {where}: {error}") from error
    except OSError as error:
        raise FileError(type(error).__name__, f"no local copy of {where}: {error.strerror or error}") from error


def _meaning(response: Any, where: str) -> Exception:
    code, message = response["Error"].get("Code", ""), response["Error"].get("Message", "")
    if response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500 or code in _PASSING:
        return TransientError(f"S3 answered {code} for {where}: {message}")
    if code == "NoSuchKey":
        return FileError(code, f"{where} does not exist any more")
    return FileError(code, f"S3 refuses {where}: {message}")
