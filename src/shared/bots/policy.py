"""What the platform lets a bot have: registries and instance types of its endpoints, the size of its container."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from shared import settings
from shared.bots.fields import Fields, container_size, wanted_endpoints
from shared.errors import InvalidConfigurationError, Violation
from shared.settings import BotCapacity


@dataclass(frozen=True, slots=True)
class Policy:
    """Patterns as in `*.dkr.ecr.eu-west-1.amazonaws.com` or `ml.m5.*`; an empty tuple allows everything."""

    registries: tuple[str, ...]
    instance_types: tuple[str, ...]
    capacity: BotCapacity

    def check(self, fields: Fields) -> None:
        """Raise InvalidConfigurationError where the bot, or an endpoint that we might make, breaks the policy."""
        violations = oversize(fields, self.capacity)
        for name, wanted in wanted_endpoints(fields).items():
            if wanted is None:
                continue
            registry = wanted.image.partition("/")[0]
            if not _allowed(registry, self.registries):
                detail = (
                    f"{name}: images of {registry} may not be provisioned here; allowed: {', '.join(self.registries)}"
                )
                violations.append(Violation("/endpoint_ecr_image_path", detail))
            if not _allowed(wanted.instance_type, self.instance_types):
                detail = f"{name}: {wanted.instance_type} may not be provisioned here; allowed: "
                violations.append(Violation("/instance_type", detail + ", ".join(self.instance_types)))
        if violations:
            raise InvalidConfigurationError(violations)


@cache
def policy() -> Policy:
    """Give the deployment's policy."""
    return Policy(
        settings.allowed("ALLOWED_IMAGE_REGISTRIES"),
        settings.allowed("ALLOWED_INSTANCE_TYPES"),
        settings.bot_capacity(),
    )


def oversize(fields: Fields, capacity: BotCapacity) -> list[Violation]:
    """Say in what a bot's container is larger than any that can be placed.

    Batch would take such a job, and let it and all behind it wait (AWS Batch user guide, "Jobs stuck in a RUNNABLE
    status").
    """
    return [
        Violation(f"/{field}", f"must be at most {most} {unit}, the most that can be run here; it is {size}")
        for field, size, most, unit in zip(
            ("bot_vcpu", "bot_mem"),
            container_size(fields["bot_vcpu"], fields["bot_mem"]),
            capacity,
            ("vCPUs", "MiB"),
            strict=True,
        )
        if size > most
    ]


def too_large(fields: Fields, capacity: BotCapacity) -> str:
    """Say in a sentence why a bot cannot be run as large as it is, "" where it can."""
    broken = "; ".join(f"its {each.pointer[1:]} {each.detail}" for each in oversize(fields, capacity))
    return f"bot {fields['name']!r} is too large: {broken}" if broken else ""


def _allowed(value: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)
