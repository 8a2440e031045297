"""What each handler loads decides how long its first caller waits."""

import json
import subprocess
import sys

import pytest

from local.template import ROOT, functions

# Powertools looks at the bare package botocore for its version; what costs is its client.
HEAVY = {"pydantic", "boto3", "botocore.client"}
REGISTRATION = HEAVY - {"boto3"}
ENDPOINTS = {"botocore.client"}
JOBS = {"boto3", "botocore.client"}
ALLOWED = {
    "create_bot": REGISTRATION,
    "update_bot": REGISTRATION,
    "deploy_bot": REGISTRATION,
    "record_endpoint": ENDPOINTS,
    "reconcile_endpoints": ENDPOINTS,
    "list_endpoints": set(),
    "delete_bot": ENDPOINTS,
    "provision_endpoint": ENDPOINTS,
    "get_bot": set(),
    "list_bots": set(),
    "health": set(),
    "manage_snapshots": set(),
    "map_roles": set(),
    "method_not_allowed": set(),
    "create_job": HEAVY,
    "list_jobs": set(),
    "get_job": set(),
    "list_job_files": set(),
    "cancel_job": JOBS,
    "retry_job": JOBS,
    "check_job_endpoints": ENDPOINTS,
    "list_files": JOBS,
    "prepare_slices": JOBS,
    "sum_up_job": JOBS,
    "record_job": JOBS,
    "reconcile_jobs": JOBS,
    "self_test": JOBS,
}
NEVER = {"jgo", "moto", "starlette", "local", "rich", "typer", "grpc"}


@pytest.mark.parametrize("handler", sorted(ALLOWED))
def test_a_handler_loads_what_it_needs_and_no_more(handler: str) -> None:
    script = f"import handlers.{handler}, json, sys; print(json.dumps(sorted(sys.modules)))"

    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT / "src", env={"PATH": ""}, capture_output=True, check=True
    )

    loaded = set(json.loads(run.stdout))
    assert loaded & HEAVY == ALLOWED[handler]
    assert not loaded & NEVER


def test_every_handler_is_decided_on() -> None:
    assert {function.handler.split(".")[1] for function in functions().values()} == ALLOWED.keys()
