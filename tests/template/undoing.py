"""Changes of templates that are no good, for the tests of the rules: each takes the templates and alters them."""

from collections.abc import Callable
from typing import Any

Read = dict[str, dict[str, Any]]
Change = Callable[[Read], object]


def setting(path: str, value: Any, template: str = "") -> Change:
    """Give what sets the value at a path of names and numbers, as in Resources/Domain/DeletionPolicy."""

    def change(read: Read) -> None:
        at, last = _found(read[template], path)
        at[last] = value

    return change


def dropping(path: str, template: str = "") -> Change:
    """Give what takes the value at a path away."""

    def change(read: Read) -> None:
        at, last = _found(read[template], path)
        del at[last]

    return change


def both(*changes: Change) -> Change:
    """Give what makes several changes."""
    return lambda read: [change(read) for change in changes]


def _found(at: Any, path: str) -> tuple[Any, Any]:
    """Give what holds the last name or number of a path, and that one."""
    for name in (parts := path.split("/"))[:-1]:
        at = at[int(name) if isinstance(at, list) else name]
    return at, int(parts[-1]) if isinstance(at, list) else parts[-1]
