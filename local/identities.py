"""Who calls AWS here: each role of the template has dummy keys of its own, so that the one asked knows who asks."""

from typing import Final

_PREFIX: Final = "AKIDOF"


def keys_of(role: str) -> dict[str, str]:
    """Give the keys of a role by its logical id in the template (CreateBotRole), a session token included.

    Lambda gives a function its role's keys in the same variables.
    """
    return {
        "AWS_ACCESS_KEY_ID": _PREFIX + role,
        "AWS_SECRET_ACCESS_KEY": "local-secret-key",
        "AWS_SESSION_TOKEN": "local-session-token",
    }


def role_of(access_key_id: str) -> str | None:
    """Tell whose keys these are, None where they are no role's."""
    return access_key_id.removeprefix(_PREFIX) if access_key_id.startswith(_PREFIX) else None
