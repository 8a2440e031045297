"""What the deployment decides: the only module that reads the environment."""

import os
from dataclasses import dataclass
from functools import cache
from typing import Literal

from shared.errors import SettingsError


@dataclass(frozen=True, slots=True)
class OpenSearchSettings:
    """Where the registry is and how to sign for it."""

    url: str
    region: str
    index_prefix: str
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What SageMaker needs to run an endpoint of ours, and the tag that tells that it is ours."""

    role_arn: str
    owner_tag: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """AWS keys as Lambda puts them into the environment; `token` is None for long-term keys."""

    access_key: str
    secret_key: str
    token: str | None


@cache
def opensearch() -> OpenSearchSettings:
    """Raise SettingsError with every missing name."""
    url, region = _required("OPENSEARCH_URL", "AWS_REGION")
    return OpenSearchSettings(
        url=url,
        region=region,
        index_prefix=os.environ.get("INDEX_PREFIX", "byob"),
        timeout_seconds=float(os.environ.get("OPENSEARCH_TIMEOUT_SECONDS", "5")),
    )


@cache
def endpoints() -> EndpointSettings:
    """Raise SettingsError with every missing name."""
    role_arn, owner_tag = _required("SAGEMAKER_ROLE_ARN", "OWNER_TAG")
    return EndpointSettings(role_arn=role_arn, owner_tag=owner_tag)


@cache
def allowed(name: Literal["ALLOWED_IMAGE_REGISTRIES", "ALLOWED_INSTANCE_TYPES"]) -> tuple[str, ...]:
    """Give patterns of what endpoints may be made of; empty for anything."""
    return tuple(pattern.strip() for pattern in os.environ.get(name, "").split(",") if pattern.strip())


@cache
def provision_function() -> str:
    """Give the name or ARN of the function that provisions endpoints; raise SettingsError without it."""
    return _required("PROVISION_FUNCTION")[0]


def static_credentials() -> Credentials | None:
    """Give the keys that the environment holds, None where they come from another place (SnapStart, containers)."""
    access_key, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key or not secret_key:
        return None
    return Credentials(access_key, secret_key, os.environ.get("AWS_SESSION_TOKEN") or None)


def _required(*names: str) -> list[str]:
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise SettingsError(missing)
    return [os.environ[name] for name in names]
