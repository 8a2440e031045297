"""The request for a job: what a caller may ask, and every rule that it has to keep.

A `JobRequest` cannot exist wrong: making one from JSON reports all violations at once.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.bots.fields import NAME_PATTERN, NAME_RULE, is_name
from shared.errors import InvalidJobError, Violation
from shared.violations import violations

# Amazon S3 user guide, "Bucket naming rules"; "Object key": at most 1,024 bytes in UTF-8.
BUCKET_PATTERN: Final = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
MAX_KEY_BYTES: Final = 1024
MAX_BOTS: Final = 10_000
DEFAULT_BULK_SIZE: Final = 500
MAX_BULK_SIZE: Final = 1_000

_BUCKET_RULE: Final = "the name of an S3 bucket, without s3:// and without a path"
_RULES: Final = {
    "number_of_bots": f"must be a whole number from 1 to {MAX_BOTS}",
    "bulk_size": f"must be a whole number from 1 to {MAX_BULK_SIZE}",
}
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f]")


class JobRequest(BaseModel):
    """A checked request; absent and null are one, the field's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)

    bot_name: str = Field(
        "",
        description="The bot to run.",
        json_schema_extra={"examples": ["foo_bot"], "pattern": f"^{NAME_PATTERN}$"},
    )
    s3_bucket: str = Field(
        "",
        description="The bucket that holds the files.",
        json_schema_extra={"examples": ["media"], "pattern": f"^{BUCKET_PATTERN}$"},
    )
    s3_path: str = Field(
        "",
        description="Prefix of the files' keys; empty for the whole bucket.",
        json_schema_extra={"examples": ["2026/pictures/"]},
    )
    output_s3_bucket: str = Field(
        "",
        description="The bucket for the results; keys under the output prefix are never taken for files.",
        json_schema_extra={"examples": ["tags"], "pattern": f"^{BUCKET_PATTERN}$"},
    )
    output_s3_prefix: str = Field(
        "",
        description="Results go to this prefix, a slash, the file's whole key, and .json.",
        json_schema_extra={"examples": ["foo_bot"]},
    )
    number_of_bots: int = Field(1, ge=1, le=MAX_BOTS, description="How many containers share the work.")
    bulk_size: int = Field(
        DEFAULT_BULK_SIZE, ge=1, le=MAX_BULK_SIZE, description="Work items that are written in one request."
    )

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Check a parsed JSON document; raise InvalidJobError with every violation."""
        if not isinstance(data, Mapping):
            raise InvalidJobError([Violation("", "must be a JSON object")])
        try:
            return cls.model_validate({key: value for key, value in data.items() if value is not None})
        except ValidationError as error:
            raise InvalidJobError(list(violations(error, of="a job", fields=cls.model_fields, rules=_RULES))) from None

    def fields(self) -> dict[str, Any]:
        """Give the flat fields, all of them."""
        return self.model_dump()

    @field_validator("bot_name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not is_name(value):
            raise ValueError(f"must be {NAME_RULE}" if value else "is required")
        return value

    @field_validator("s3_bucket", "output_s3_bucket")
    @classmethod
    def _is_bucket(cls, value: str) -> str:
        if not re.fullmatch(BUCKET_PATTERN, value):
            raise ValueError(f"must be {_BUCKET_RULE}" if value else "is required")
        return value

    @field_validator("s3_path", "output_s3_prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        if value.startswith("s3://"):
            raise ValueError("must be a prefix of keys, without s3:// and without the bucket")
        if len(value.encode()) > MAX_KEY_BYTES:
            raise ValueError(f"must have at most {MAX_KEY_BYTES} bytes in UTF-8")
        if _CONTROL_CHARACTERS.search(value):
            raise ValueError("must not contain control characters")
        return value
