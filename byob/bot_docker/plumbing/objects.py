"""The files and their results in S3; memory stays the same whatever their size."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
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
_REGION_HEADER = "x-amz-bucket-region"
# S3's words for "not in this region", where its header does not name the other one.
_ELSEWHERE = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
_PASSING = {"SlowDown", "RequestTimeout", "ExpiredToken", "RequestTimeTooSkewed", "Throttling", "ThrottlingException"}


class Objects:
    """S3, as the bot's role sees it."""

    def __init__(self, region: str) -> None:
        config = Config(retries=retries(), connect_timeout=5, read_timeout=60)
        self._s3 = boto3.client("s3", region_name=region, config=config)
        # botocore would follow a bucket to its region, where the bot's network may not lead: so this is asked first.
        self._s3.meta.events.register_first("needs-retry.s3", partial(_stay, region))

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


class _ElsewhereError(Exception):
    """A bucket is in another region than the bot."""


@contextmanager
def _translated(bucket: str, key: str) -> Iterator[None]:
    where = f"s3://{bucket}/{key}"
    try:
        yield
    except ClientError as error:
        raise _meaning(error.response, where) from error
    except _ElsewhereError as error:
        raise FileError("PermanentRedirect", f"the bucket of {where} is {error}") from error
    except ParamValidationError as error:
        raise FileError("ParamValidationError", f"{where}: {error}") from error
    except BotoCoreError as error:
        raise TransientError(f"S3 cannot be reached for {where}: {error}") from error
    except OSError as error:
        raise FileError(type(error).__name__, f"no local copy of {where}: {error.strerror or error}") from error


def _stay(here: str, response: Any, **_: Any) -> None:
    if response is None or response[0].status_code < 300:
        return
    error, metadata = response[1].get("Error", {}), response[1]["ResponseMetadata"]
    there = metadata["HTTPHeaders"].get(_REGION_HEADER, error.get("Region", ""))
    if there not in ("", here) or error.get("Code") in _ELSEWHERE:
        raise _ElsewhereError(f"in {there or 'another region'}, and the bot runs in {here} alone")


def _meaning(response: Any, where: str) -> Exception:
    code, message = response["Error"].get("Code", ""), response["Error"].get("Message", "")
    if response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500 or code in _PASSING:
        return TransientError(f"S3 answered {code} for {where}: {message}")
    if code == "NoSuchKey":
        return FileError(code, f"{where} does not exist any more")
    if code == "NoSuchBucket":
        return FileError(code, f"there is no bucket of that name: {where}")
    if code == "AccessDenied":
        return FileError(
            code,
            f"the bots' role may not use {where}: {message}; the deployment's MediaBucket has to match the bucket, "
            "whose own policy and key have to let the role in",
        )
    return FileError(code, f"S3 refuses {where}: {message}")
