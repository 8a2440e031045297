"""The door to S3: the keys under a prefix, page by page, in S3's own order."""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.session import Session

from shared.aws import AwsRefusedError, call
from shared.errors import JobCannotRunError

_CONFIG: Final = Config(connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 5, "mode": "standard"})
_GONE: Final = frozenset({"NoSuchBucket", "404", "NotFound"})
_DENIED: Final = frozenset({"AccessDenied", "403", "Forbidden", "AllAccessDisabled"})


@dataclass(frozen=True, slots=True)
class Page:
    """Keys with their sizes in bytes, in S3's order; `more`: others follow after the last one."""

    sizes: dict[str, int]
    more: bool


class Objects:
    """Lists buckets, so many keys in a page (S3 API, ListObjectsV2: at most 1,000)."""

    def __init__(self, page_keys: int = 1000) -> None:
        self._page_keys = page_keys

    @cached_property
    def _client(self) -> Any:
        session = Session()
        # Nobody looks at the times in a listing, and reading them takes half of its time (measured).
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
        return boto3.Session(botocore_session=session).client("s3", config=_CONFIG)

    def page(self, bucket: str, prefix: str, after: str) -> Page:
        """Read the page that follows the key `after` ("": the first); raise JobCannotRunError, AwsUnavailableError.

        The place is a key and not S3's continuation token, so that it has no age and means the same to every caller.
        """
        try:
            found = call(
                self._client, "list_objects_v2", Bucket=bucket, Prefix=prefix, StartAfter=after, MaxKeys=self._page_keys
            )
        except AwsRefusedError as error:
            raise JobCannotRunError(_sentence(error, bucket, "list")) from error
        return Page({entry["Key"]: entry["Size"] for entry in found.get("Contents", [])}, found["IsTruncated"])

    def require_bucket(self, bucket: str) -> None:
        """Raise JobCannotRunError where there is no such bucket; one that we may not look at may be there."""
        try:
            call(self._client, "head_bucket", Bucket=bucket)
        except AwsRefusedError as error:
            if error.code in _GONE:
                raise JobCannotRunError(_sentence(error, bucket, "use")) from error


@cache
def objects() -> Objects:
    """Give the door, made on first use."""
    return Objects()


def _sentence(error: AwsRefusedError, bucket: str, what: str) -> str:
    if error.code in _GONE:
        return f"there is no bucket named {bucket!r}"
    if error.code in _DENIED:
        return f"the platform may not {what} bucket {bucket!r}: {error}"
    return f"bucket {bucket!r} cannot be listed: {error}"
