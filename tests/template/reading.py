"""The template's resources, as the tests look at them."""

from typing import Any

from local.template import document


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Give the properties of all resources of a type, by logical id."""
    return {id: each.get("Properties", {}) for id, each in document()["Resources"].items() if each["Type"] == kind}


def listed(value: Any) -> list[Any]:
    """Give a list, of one where there is one."""
    return value if isinstance(value, list) else [value]
