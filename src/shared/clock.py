"""The time, in the two forms that the product writes."""

from datetime import UTC, datetime


def now() -> datetime:
    """Give the time, in UTC."""
    return datetime.now(UTC)


def flat_now() -> str:
    """Give `YYYY-MM-DD HH:MM:SS` in UTC, the form of a bot's create_date and update_date."""
    return flat(now())


def flat(time: datetime) -> str:
    """Give a time in UTC as `YYYY-MM-DD HH:MM:SS`, which sorts as text."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


def from_flat(text: str) -> datetime:
    """Read what `flat` wrote."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


def seconds_since(past: str, now: datetime) -> float:
    """Give the seconds from a time as `rfc3339` writes it, of which it keeps no fractions, until now; 0 at least."""
    return max(0.0, round((now - datetime.fromisoformat(past)).total_seconds(), 3))


def rfc3339(time: datetime) -> str:
    """Give a time in UTC as `YYYY-MM-DDTHH:MM:SSZ`, the form of an endpoint's times, which sorts as text."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
