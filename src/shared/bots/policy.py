"""What the platform team lets endpoints be made of: registries and instance types, each a list of patterns."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from shared import settings
from shared.bots.fields import Fields, wanted_endpoints
from shared.errors import InvalidConfigurationError, Violation


@dataclass(frozen=True, slots=True)
class Policy:
    """Patterns as in `*.dkr.ecr.eu-west-1.amazonaws.com` or `ml.m5.*`; an empty tuple allows everything."""

    registries: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()

    def check(self, fields: Fields) -> None:
        """Raise InvalidConfigurationError where an endpoint that we might make breaks the policy."""
        violations = []
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
    return Policy(settings.allowed("ALLOWED_IMAGE_REGISTRIES"), settings.allowed("ALLOWED_INSTANCE_TYPES"))


def _allowed(value: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)
