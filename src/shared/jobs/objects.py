"""The door to S3: the keys under a prefix, page by page, in S3's own order."""

from dataclasses import dataclass
from functools import cache, cached_property, partial
from http import HTTPStatus
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.session import Session

from shared.aws import AwsRefusedError, call
from shared.errors import JobCannotRunError

_CONFIG: Final = Config(connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 5, "mode": "standard"})
_GONE: Final = frozenset({"NoSuchBucket", "404", "NotFound"})
_DENIED: Final = frozenset({"AccessDenied", "403", "Forbidden", "AllAccessDisabled"})
#: S3's words for "not in this region", where its header does not name the other one (S3 API, "Error responses").
_ELSEWHERE: Final = frozenset(
    {"301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
)
_REGION_HEADER: Final = "x-amz-bucket-region"


class _ElsewhereError(Exception):
    """Raised for a bucket of another region, which S3 may not name ("")."""

    def __init__(self, here: str, there: str) -> None:
        super().__init__(
            f"is in {there or 'another region'}, and jobs run in {here} alone: name a bucket in {here}, or copy the "
            "files into one"
        )


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
        client = boto3.Session(botocore_session=session).client("s3", config=_CONFIG)
        # botocore would follow the bucket to its region, where this network does not lead, and wait there in vain.
        client.meta.events.register_first("needs-retry.s3", partial(_stay, client.meta.region_name))
        return client

    def page(self, bucket: str, prefix: str, after: str) -> Page:
        """Read the page that follows the key `after` ("": the first); raise JobCannotRunError, AwsUnavailableError.

        The place is a key and not S3's continuation token, so that it has no age and means the same to every caller.
        """
        try:
            found = call(
                self._client, "list_objects_v2", Bucket=bucket, Prefix=prefix, StartAfter=after, MaxKeys=self._page_keys
            )
        except AwsRefusedError as error:
            raise JobCannotRunError(_sentence(error, bucket)) from error
        except _ElsewhereError as error:
            raise JobCannotRunError(f"bucket {bucket!r} {error}") from error
        return Page({entry["Key"]: entry["Size"] for entry in found.get("Contents", [])}, found["IsTruncated"])

    def require_bucket(self, bucket: str, *, readable: bool = False) -> None:
        """Raise JobCannotRunError where there is no such bucket; one that we may not look at may be there.

        `readable`: also where we may not look at it.
        """
        try:
            call(self._client, "head_bucket", Bucket=bucket)
        except AwsRefusedError as error:
            if readable or error.code in _GONE:
                raise JobCannotRunError(_sentence(error, bucket)) from error
        except _ElsewhereError as error:
            raise JobCannotRunError(f"bucket {bucket!r} {error}") from error


@cache
def objects() -> Objects:
    """Give the door, made on first use."""
    return Objects()


def _stay(region: str, response: tuple[Any, dict[str, Any]] | None, **_: Any) -> None:
    """Raise _ElsewhereError where S3 refuses because the bucket is in another region than the client's."""
    if response is None or response[0].status_code < HTTPStatus.MULTIPLE_CHOICES:
        return
    error, metadata = response[1].get("Error", {}), response[1]["ResponseMetadata"]
    bucket_region = metadata["HTTPHeaders"].get(_REGION_HEADER, error.get("Region", ""))
    if bucket_region not in ("", region) or error.get("Code") in _ELSEWHERE:
        raise _ElsewhereError(region, bucket_region)


def _sentence(error: AwsRefusedError, bucket: str) -> str:
    if error.code in _GONE:
        return f"there is no bucket named {bucket!r}"
    if error.code in _DENIED:
        return (
            f"the platform may not list bucket {bucket!r}: {error}; its name has to match the deployment's "
            "MediaBucket, and a bucket of another account has to let in the role of ListFiles"
        )
    return f"bucket {bucket!r} cannot be listed: {error}"
