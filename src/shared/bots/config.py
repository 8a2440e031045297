"""The bot configuration: what an author may write, and every rule that it has to keep.

A `BotConfig` cannot exist wrong: making one from JSON reports all violations at once.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from shared.bots.fields import NAME_PATTERN, NAME_RULE, is_name
from shared.errors import InvalidConfigurationError, Violation
from shared.violations import violations

# SageMaker API, CreateEndpoint: EndpointName; CreateModel: ContainerDefinition.Image and ModelDataUrl.
ENDPOINT_NAME_PATTERN: Final = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
IMAGE_MAX_LENGTH: Final = 255
MODEL_URL_MAX_LENGTH: Final = 1024
# SageMaker API, ProductionVariant.InstanceType: an enumeration that grows monthly, so its form alone is checked.
INSTANCE_TYPE_PATTERN: Final = r"ml\.[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9-]+"
# Amazon S3 user guide, "Bucket naming rules".
MODEL_URL_PATTERN: Final = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+"
FILE_TYPE_PATTERN: Final = r"\.[^\s,/]{1,63}"
# AWS Batch API, ResourceRequirement: on EC2 at least 1 vCPU and at least 4 MiB.
MIN_VCPUS: Final = 1
MIN_MEMORY_MIB: Final = 4

MAX_ENDPOINTS: Final = 10
MAX_FILE_TYPES: Final = 100
TEXT_MAX_LENGTH: Final = 8192

#: Accepted, so that what was read can be sent back, and ignored.
READ_ONLY_FIELDS: Final = frozenset({"create_date", "update_date", "endpoints"})

_IMAGE_RULE: Final = f"a container image reference of 1 to {IMAGE_MAX_LENGTH} characters without white space"
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f]")
_UNPRINTABLE: Final = r"\s\x00-\x1f\x7f"
#: For the document: what FILE_TYPE_PATTERN and the check for control characters leave.
PRINTABLE_FILE_TYPE_PATTERN: Final = rf"\.[^{_UNPRINTABLE},/]{{1,63}}"


def _text(description: str, *, example: str = "", pattern: str | None = None, required: bool = False) -> Any:
    """Declare a text field; absent, null and "" are one, so that each has the default ""."""
    extra: dict[str, Any] = {"examples": [example]} if example else {}
    if pattern:
        extra["pattern"] = f"^{pattern}$" if required else f"^({pattern})?$"
    return Field("", description=description, max_length=TEXT_MAX_LENGTH, json_schema_extra=extra)


def _list_of(item: str) -> str:
    """Give the pattern of a comma list for the document; the checks below say more of what is wrong."""
    return rf" *{item} *(, *{item} *)*"


class BotConfig(BaseModel):
    """A checked configuration in its normal form: comma lists without blanks, numbers as numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)

    es_url: str = _text(
        "Kept as sent; never connected to.", example="search-media.example.com", pattern=r"[^\x00-\x1f\x7f]*"
    )
    name: str = _text(f"The key: {NAME_RULE}.", example="foo_bot", pattern=NAME_PATTERN, required=True)
    file_types: str = _text(
        "Endings of the files that the bot takes, whatever their case.",
        example=".jpg,.png",
        pattern=_list_of(PRINTABLE_FILE_TYPE_PATTERN),
        required=True,
    )
    bot_image: str = _text(
        "Container image of the bot.",
        example="123456789012.dkr.ecr.us-east-1.amazonaws.com/foo:1",
        pattern=rf"[^{_UNPRINTABLE}]{{1,{IMAGE_MAX_LENGTH}}}",
        required=True,
    )
    bot_image_cmd: str = _text("Command line for the image.", example="python3 task.py --fast")
    endpoint_name: str = _text(
        "One SageMaker endpoint name or several with commas.",
        example="foo-inference",
        pattern=_list_of(ENDPOINT_NAME_PATTERN),
        required=True,
    )
    endpoint_ecr_image_path: str = _text(
        "Image for each endpoint in the same order; empty: not made by the platform.",
        pattern=_list_of(rf"([^{_UNPRINTABLE},]{{1,{IMAGE_MAX_LENGTH}}})?"),
    )
    instance_type: str = _text(
        "One for all endpoints, or one each.",
        example="ml.m5.large",
        pattern=_list_of(INSTANCE_TYPE_PATTERN),
        required=True,
    )
    model_s3_path: str = _text(
        "Model data for each endpoint; an item may be empty.",
        example="s3://models/foo.tar.gz",
        pattern=_list_of(r"(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^,\x00-\x1f\x7f]+)?"),
    )
    bot_vcpu: Annotated[int | str, Field(description="vCPUs of a running bot; the deployment bounds them.")] = ""
    bot_mem: Annotated[int | str, Field(description="Memory of a running bot, MiB; the deployment bounds it.")] = ""

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Check a parsed JSON document; raise InvalidConfigurationError with every violation."""
        if not isinstance(data, Mapping):
            raise InvalidConfigurationError([Violation("", "must be a JSON object")])
        fields = {key: value for key, value in data.items() if key not in READ_ONLY_FIELDS}
        found = []
        if "bot_name" in fields:
            alias = fields.pop("bot_name")
            if fields.setdefault("name", alias) != alias:
                found.append(Violation("/bot_name", "is another word for name and must not differ from it"))
        try:
            config = cls.model_validate(fields)
        except ValidationError as error:
            raise InvalidConfigurationError(
                [*found, *violations(error, of="a bot configuration", fields=[*cls.model_fields, "bot_name"])]
            ) from None
        if found:
            raise InvalidConfigurationError(found)
        return config

    def fields(self) -> dict[str, Any]:
        """Give the flat fields, all of them, in the order in which they are shown."""
        return self.model_dump()

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_empty(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("file_types", mode="before")
    @classmethod
    def _list_of_file_types(cls, value: object) -> object:
        if not isinstance(value, list):
            return value
        for position, item in enumerate(value, start=1):
            if not isinstance(item, str) or "," in item:
                raise ValueError(f"item {position} must be a file ending such as .jpg")
        return ",".join(value)

    @field_validator("name", "file_types", "bot_image", "endpoint_name", "instance_type")
    @classmethod
    def _is_given(cls, value: str) -> str:
        if not value:
            raise ValueError("is required")
        return value

    @field_validator(
        "es_url",
        "file_types",
        "bot_image",
        "endpoint_name",
        "endpoint_ecr_image_path",
        "instance_type",
        "model_s3_path",
    )
    @classmethod
    def _is_printable(cls, value: str) -> str:
        if _CONTROL_CHARACTERS.search(value):
            raise ValueError("must not contain control characters")
        return value

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not is_name(value):
            raise ValueError(f"must be {NAME_RULE}")
        return value

    @field_validator("file_types")
    @classmethod
    def _are_file_types(cls, value: str) -> str:
        items = _items(value, FILE_TYPE_PATTERN, "a dot and 1 to 63 characters without white space, such as .jpg")
        if len(items) > MAX_FILE_TYPES:
            raise ValueError(f"must have at most {MAX_FILE_TYPES} items")
        return ",".join(items)

    @field_validator("bot_image")
    @classmethod
    def _is_image(cls, value: str) -> str:
        if not re.fullmatch(rf"\S{{1,{IMAGE_MAX_LENGTH}}}", value):
            raise ValueError(f"must be {_IMAGE_RULE}")
        return value

    @field_validator("bot_image_cmd")
    @classmethod
    def _is_command_line(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError("must not contain NUL characters")
        try:
            shlex.split(value)
        except ValueError as error:
            raise ValueError(f"must be a command line that shlex can split: {error}") from None
        return value

    @field_validator("endpoint_name")
    @classmethod
    def _are_endpoint_names(cls, value: str) -> str:
        items = _items(
            value, ENDPOINT_NAME_PATTERN, "1 to 63 letters, digits and hyphens, beginning and ending without a hyphen"
        )
        if len(items) > MAX_ENDPOINTS:
            raise ValueError(f"must have at most {MAX_ENDPOINTS} items")
        lowered = [item.lower() for item in items]
        for position, item in enumerate(lowered):
            if item in lowered[:position]:
                # SageMaker API, CreateEndpoint: "The name is case-insensitive in CreateEndpoint".
                raise ValueError(f"item {position + 1} ({items[position]!r}) is named twice; case makes no difference")
        return ",".join(items)

    @field_validator("endpoint_ecr_image_path")
    @classmethod
    def _are_images(cls, value: str, info: ValidationInfo) -> str:
        items = _items(value, rf"\S{{1,{IMAGE_MAX_LENGTH}}}", _IMAGE_RULE, may_be_empty=True)
        return _one_each(items, info)

    @field_validator("instance_type")
    @classmethod
    def _are_instance_types(cls, value: str, info: ValidationInfo) -> str:
        items = _items(value, INSTANCE_TYPE_PATTERN, "a SageMaker instance type such as ml.m5.large")
        return items[0] if len(items) == 1 else _one_each(items, info)

    @field_validator("model_s3_path")
    @classmethod
    def _are_model_urls(cls, value: str, info: ValidationInfo) -> str:
        items = _items(value, MODEL_URL_PATTERN, "an S3 object such as s3://bucket/model.tar.gz", may_be_empty=True)
        for position, item in enumerate(items, start=1):
            if len(item) > MODEL_URL_MAX_LENGTH:
                raise ValueError(f"item {position} must have at most {MODEL_URL_MAX_LENGTH} characters")
        return _one_each(items, info)

    @field_validator("bot_vcpu", mode="plain", json_schema_input_type=int | str)
    @classmethod
    def _are_vcpus(cls, value: object) -> int | str:
        return _whole_number(value, MIN_VCPUS, "vCPUs")

    @field_validator("bot_mem", mode="plain", json_schema_input_type=int | str)
    @classmethod
    def _are_mebibytes(cls, value: object) -> int | str:
        return _whole_number(value, MIN_MEMORY_MIB, "MiB")


def _items(value: str, pattern: str, rule: str, *, may_be_empty: bool = False) -> list[str]:
    """Split a comma list and check each item; all wrong ones are named in one violation."""
    items = [item.strip() for item in value.split(",")]
    wrong = [
        f"item {position} ({item[:80]!r})"
        for position, item in enumerate(items, start=1)
        if (item or not may_be_empty) and not re.fullmatch(pattern, item)
    ]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} must be {rule}")
    return items


def _one_each(items: list[str], info: ValidationInfo) -> str:
    """Check the number of items against the endpoints', where those are right themselves."""
    if not any(items):
        return ""
    names = info.data.get("endpoint_name")
    if names is not None and len(items) != len(names.split(",")):
        raise ValueError(f"must have one item for each endpoint: {len(names.split(','))}, not {len(items)}")
    return ",".join(items)


def _whole_number(value: object, minimum: int, unit: str) -> int | str:
    if value is None or value == "":
        return ""
    number: object = value
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,10}(\.0*)?\s*", value):
        number = int(float(value))
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int) or not minimum <= number < 2**31:
        raise ValueError(f"must be a whole number of {unit}, {minimum} or more")
    return number
