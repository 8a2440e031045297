"""What the deployment decides: the only module that reads the environment.

Named tuples, as every cold start makes these classes: each takes 0.05 ms, a frozen dataclass 0.3.
"""

import os
from functools import cache
from typing import Literal, NamedTuple

from shared.errors import SettingsError


class OpenSearchSettings(NamedTuple):
    """Where the registry is and how to sign for it."""

    url: str
    region: str
    index_prefix: str
    timeout_seconds: float


class EndpointSettings(NamedTuple):
    """What SageMaker needs to run an endpoint of ours, and the tag that tells that it is ours."""

    role_arn: str
    owner_tag: str


class BatchSettings(NamedTuple):
    """What a slice of a job needs to run as a Batch job; the names of our job definitions begin with the prefix."""

    queue_arn: str
    job_role_arn: str
    execution_role_arn: str
    log_group: str
    definition_prefix: str


class BotCapacity(NamedTuple):
    """The largest container that a bot may have: what the compute environment can hold."""

    vcpus: int
    memory_mib: int


class RoleMappingSettings(NamedTuple):
    """ARNs of the IAM roles that may use the domain, by what they may do there."""

    index_prefix: str
    monitor: tuple[str, ...]
    read: tuple[str, ...]
    write: tuple[str, ...]
    run_bots: tuple[str, ...]
    operate: tuple[str, ...]


class MetricsSettings(NamedTuple):
    """Where CloudWatch keeps our metrics, under Powertools' own names for these settings."""

    namespace: str
    service: str
    enabled: bool


class Credentials(NamedTuple):
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
def metrics() -> MetricsSettings:
    """Give what stands in every line of metrics; all of it has a default, as no request may fail for its metrics."""
    return MetricsSettings(
        namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "BringYourOwnBot"),
        service=os.environ.get("POWERTOOLS_SERVICE_NAME", "byob"),
        enabled=os.environ.get("POWERTOOLS_METRICS_DISABLED", "false").lower() != "true",
    )


@cache
def allowed(name: Literal["ALLOWED_IMAGE_REGISTRIES", "ALLOWED_INSTANCE_TYPES"]) -> tuple[str, ...]:
    """Give patterns of what endpoints may be made of; empty for anything."""
    return tuple(pattern.strip() for pattern in os.environ.get(name, "").split(",") if pattern.strip())


@cache
def provision_function() -> str:
    """Give the name or ARN of the function that provisions endpoints; raise SettingsError without it."""
    return _required("PROVISION_FUNCTION")[0]


@cache
def functions() -> dict[str, str]:
    """Give names or ARNs of functions by their logical ids, as the self-test calls them; raise SettingsError."""
    return dict(pair.partition("=")[::2] for pair in _required("FUNCTIONS")[0].split(","))


@cache
def configuration_version() -> str:
    """Give the number of the parameters' last change, "" where nothing counts them."""
    return os.environ.get("CONFIGURATION_VERSION", "")


@cache
def state_machine() -> str:
    """Give the ARN of the jobs' state machine; raise SettingsError without it."""
    return _required("STATE_MACHINE_ARN")[0]


@cache
def job_queue() -> str:
    """Give the ARN of the queue in which the slices of jobs wait; raise SettingsError without it."""
    return _required("JOB_QUEUE_ARN")[0]


@cache
def batch() -> BatchSettings:
    """Raise SettingsError with every missing name."""
    names = ("JOB_QUEUE_ARN", "JOB_ROLE_ARN", "JOB_EXECUTION_ROLE_ARN", "JOB_LOG_GROUP", "JOB_DEFINITION_PREFIX")
    return BatchSettings(*_required(*names))


@cache
def bot_capacity() -> BotCapacity:
    """Raise SettingsError with every missing name."""
    vcpus, memory_mib, of_all_jobs = map(int, _required("BOT_MAX_VCPUS", "BOT_MAX_MEMORY_MIB", "JOB_MAX_VCPUS"))
    return BotCapacity(min(vcpus, of_all_jobs), memory_mib)


@cache
def endpoint_wait_seconds() -> int:
    """Give how long a job waits for its endpoints before it fails."""
    return int(os.environ.get("ENDPOINT_WAIT_SECONDS", "7200"))


@cache
def role_mapping() -> RoleMappingSettings:
    """Raise SettingsError with every missing name."""
    names = ("ROLES_THAT_MONITOR", "ROLES_THAT_READ", "ROLES_THAT_WRITE", "ROLES_THAT_RUN_BOTS", "ROLES_THAT_OPERATE")
    return RoleMappingSettings(opensearch().index_prefix, *(tuple(arns.split(",")) for arns in _required(*names)))


@cache
def snapshot_repository() -> str:
    """Give the name of the domain's repository of snapshots; raise SettingsError without it."""
    return _required("SNAPSHOT_REPOSITORY")[0]


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
