"""The time, in the two forms that the product writes."""

from datetime import UTC, datetime


def flat_now() -> str:
    """Give `YYYY-MM-DD HH:MM:SS` in UTC, the form of a bot's create_date and update_date."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")


def rfc3339_now() -> str:
    """Give `YYYY-MM-DDTHH:MM:SSZ`, the form of an endpoint's times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
