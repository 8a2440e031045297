"""The sample events, one a function, in the order of a bot's life."""

import json
from typing import Any, Final

from local import template
from local.aws import make_bucket

FOLDER: Final = template.ROOT / "events"
#: Each name is that of an event's file and of a handler's module. An event may rely on what those before it left.
LIFE: Final = (
    "map_roles",
    "health",
    "create_bot",
    "provision_endpoint",
    "record_endpoint",
    "reconcile_endpoints",
    "list_endpoints",
    "deploy_bot",
    "update_bot",
    "get_bot",
    "list_bots",
    "method_not_allowed",
    "create_job",
    "list_jobs",
    "check_job_endpoints",
    "list_files",
    "prepare_slices",
    "get_job",
    "list_job_files",
    "reconcile_jobs",
    "sum_up_job",
    "record_job",
    "cancel_job",
    "delete_bot",
    "retry_job",
    "manage_snapshots",
)
#: It calls the others, and so wants a second environment beside its own; what it answers differs from run to run.
APART: Final = "self_test"
#: Keeps the state machine from going through the job's states before these events do.
ALONE: Final = {"AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:9"}
_BUCKETS: Final = {"media": ("2026/pictures/dune.png", "2026/pictures/fjord.jpg"), "tags": ()}


def make_buckets(s3: Any) -> None:
    """Make what the job of these events works on."""
    for bucket, keys in _BUCKETS.items():
        make_bucket(s3, bucket)
        for key in keys:
            s3.put_object(Bucket=bucket, Key=key, Body=b"picture")


def sample(name: str) -> Any:
    """Read an event."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def function_of(name: str) -> template.Function:
    """Find the function that an event is for."""
    return next(function for function in template.functions().values() if function.handler.split(".")[1] == name)
