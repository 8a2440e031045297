"""A bot's flat fields as they are stored and shown, read without the weight of what checks them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from shared.endpoints.record import Wanted

NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
NAME_RULE: Final = "1 to 63 letters, digits, hyphens and underscores, beginning with a letter or digit"
_name = re.compile(NAME_PATTERN)

Fields = Mapping[str, Any]

#: What a bot's container has where its author says nothing.
DEFAULT_VCPUS: Final = 1
DEFAULT_MEMORY_MIB: Final = 2048


def is_name(text: str) -> bool:
    """Tell whether a bot could be registered under this name."""
    return _name.fullmatch(text) is not None


def endpoint_names(fields: Fields) -> list[str]:
    """Give the names of the bot's endpoints, one or more, in the author's order."""
    return str(fields["endpoint_name"]).split(",")


def file_types(fields: Fields) -> list[str]:
    """Give the file endings that the bot takes, one or more, each with its dot."""
    return str(fields["file_types"]).split(",")


def container_size(bot_vcpu: int | str, bot_mem: int | str) -> tuple[int, int]:
    """Give the vCPUs and MiB of the bot's container; "" stands for what it has without its author's word."""
    return int(bot_vcpu or DEFAULT_VCPUS), int(bot_mem or DEFAULT_MEMORY_MIB)


def wanted_endpoints(fields: Fields) -> dict[str, Wanted | None]:
    """Say for each endpoint what it should run; None where the author runs it and we never make it."""
    names = endpoint_names(fields)

    def one_each(field: str) -> list[str]:
        items = str(fields[field]).split(",")
        return items if len(items) == len(names) else items * len(names)

    parts = zip(
        names,
        one_each("endpoint_ecr_image_path"),
        one_each("model_s3_path"),
        one_each("instance_type"),
        strict=True,
    )
    return {name: Wanted(image, model, instance) if image else None for name, image, model, instance in parts}
