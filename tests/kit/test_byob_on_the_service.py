"""The author's kit against the real service."""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import samples
from local.aws import make_bucket
from local.demo import KIT
from local.runtime import RuntimeFault
from local.stack import Running
from tests.jobs import files, registered, results
from tests.support import ApiClient, eventually

Make = Callable[..., dict[str, Any]]
COLOURS = {name: colour for name, _, colour in samples.pictures()}
_numbers = itertools.count(1)


@pytest.fixture
def tagger(api: ApiClient, configuration: Make) -> str:
    """A bot for pictures whose endpoint is in service, and which the kit's own task.py runs."""
    return registered(api, configuration(file_types=".jpg,.png"))


@pytest.fixture
def bucket(api: ApiClient) -> str:
    """A bucket that holds the sample pictures."""
    bucket, s3 = f"samples-{next(_numbers)}", api.aws("s3")
    make_bucket(s3, bucket)
    samples.upload(s3, bucket, "pictures/")
    return bucket


def run(api: ApiClient, bot: str, bucket: str, *options: str) -> subprocess.CompletedProcess[str]:
    return byob(api, "run", bot, f"s3://{bucket}/pictures/", "--out", f"s3://{bucket}/tags", *options)


def started(ran: subprocess.CompletedProcess[str]) -> str:
    """Give the id of the job that a run has told of."""
    told = re.search("started job ([0-9a-f]{32})", ran.stderr)
    assert told, ran.stderr
    return told[1]


def byob(api: ApiClient, *arguments: str, folder: Path = KIT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(KIT / "byob.py"), "--url", api.url, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_an_argument_it_creates_then_updates_the_bot_in_bot_config_json(
    api: ApiClient, configuration: Make, tmp_path: Path
) -> None:
    invoice_reader = configuration()
    file = tmp_path / "bot_config.json"
    file.write_text(json.dumps(invoice_reader))

    created = byob(api, folder=tmp_path)
    file.write_text(json.dumps({**invoice_reader, "bot_image_cmd": "--fast"}))
    updated = byob(api, "--json", folder=tmp_path)

    assert (created.returncode, updated.returncode) == (0, 0)
    assert f"registered {invoice_reader['name']}" in created.stderr
    assert f"updated {invoice_reader['name']}" in updated.stderr
    assert json.loads(updated.stdout)["bot_image_cmd"] == "--fast"
    assert json.loads(updated.stdout) | {"endpoints": []} == api("GET", f"/bots/{invoice_reader['name']}").json | {
        "endpoints": []
    }


def test_every_violation_is_told_by_its_field(api: ApiClient, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({"name": "wrong", "file_types": "pdf", "colour": "red"}))

    refused = byob(api, "register", str(file))

    assert refused.returncode == 1
    for field in ("file_types", "colour", "bot_image", "endpoint_name", "instance_type"):
        assert f"{field}: " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_list_follows_all_pages_and_delete_unregisters(api: ApiClient, configuration: Make) -> None:
    names = [f"paged-{number:03}" for number in range(120)]
    for name in names:
        api.register(configuration(name=name, endpoint_ecr_image_path=None))

    listed = byob(api, "list", "--prefix", "paged-", "--json")
    deleted = byob(api, "delete", names[0], "--yes")

    assert [bot["name"] for bot in json.loads(listed.stdout)] == names
    assert deleted.returncode == 0
    assert byob(api, "show", names[0]).returncode == 1


def test_show_tells_the_state_of_the_endpoint(api: ApiClient, configuration: Make) -> None:
    name = api.register(configuration()).json["name"]
    eventually(lambda: api.endpoint_of(name), lambda seen: seen["status"] == "InService")

    shown = byob(api, "show", name)

    assert shown.returncode == 0
    assert "InService" in shown.stdout


def test_a_rehearsal_a_deploy_and_the_list_of_endpoints(api: ApiClient, configuration: Make, tmp_path: Path) -> None:
    invoice_reader = configuration()
    name, endpoint = invoice_reader["name"], invoice_reader["endpoint_name"]
    file = tmp_path / "bot_config.json"
    file.write_text(json.dumps(invoice_reader))

    rehearsed = byob(api, "register", str(file), "--validate-only", "--json")
    before = byob(api, "show", name)
    registered = byob(api, "register", str(file), "--wait")
    file.write_text(json.dumps({**invoice_reader, "model_s3_path": "s3://models/layout-2.tar.gz"}))
    byob(api, "register", str(file))
    deployed = byob(api, "deploy", name, "--wait", "--json")
    listed = byob(api, "endpoints", "--json")

    assert json.loads(rehearsed.stdout)["would"] == "create"
    assert before.returncode == 1
    assert (registered.returncode, "InService" in registered.stdout) == (0, True)
    assert deployed.returncode == 0, deployed.stderr
    assert json.loads(deployed.stdout)["endpoints"][0]["outdated"] is False
    (shown,) = [found for found in json.loads(listed.stdout) if found["name"] == endpoint]
    assert (shown["bots"], shown["model_data"]) == ([name], "s3://models/layout-2.tar.gz")


def test_run_exits_with_0_once_every_picture_has_its_result(api: ApiClient, tagger: str, bucket: str) -> None:
    ran = run(api, tagger, bucket, "--bots", "2", "--json")

    job = json.loads(ran.stdout)
    assert ran.returncode == 0, ran.stderr
    assert (job["status"], job["counts"]["COMPLETED"], job["number_of_bots"]) == ("COMPLETED", len(COLOURS), 2)
    assert "COMPLETED: 8 of 8 files" in ran.stderr
    assert results(api, bucket, "tags/") == sorted(f"tags/pictures/{name}.json" for name in COLOURS)
    for name, colour in COLOURS.items():
        found = api.aws("s3").get_object(Bucket=bucket, Key=f"tags/pictures/{name}.json")
        assert colour in {tag["name"] for tag in json.load(found["Body"])["tags"]}


def test_pictures_that_cannot_be_read_fail_a_run_and_are_told_by_reason_until_a_retry_has_them_mended(
    api: ApiClient, tagger: str, bucket: str
) -> None:
    s3, broken = api.aws("s3"), ["pictures/more/torn.jpg", "pictures/torn.png"]
    for key in broken:
        s3.put_object(Bucket=bucket, Key=key, Body=b"half a picture")

    failed = run(api, tagger, bucket)
    id = started(failed)
    told = byob(api, "job", id, "--errors")
    grouped = byob(api, "job", id, "--errors", "--json")
    done = files(api, id, status="COMPLETED")
    for key in broken:
        s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": "pictures/red-circle.png"})
    retried = byob(api, "retry", id)
    after = byob(api, "job", id, "--errors")

    assert failed.returncode == 1
    assert "the job ended as COMPLETED_WITH_ERRORS: 10 of 10 files" in failed.stderr
    assert f"the reasons: python3 byob.py job {id} --errors" in failed.stderr
    (group,) = json.loads(grouped.stdout)
    assert (group["files"], group["error_code"], group["examples"]) == (2, "ModelError", broken)
    assert "this is no picture that can be read" in group["error"]
    assert (told.returncode, group["error"] in told.stdout, ", ".join(broken) in told.stdout) == (0, True, True)
    assert (retried.returncode, "COMPLETED: 10 of 10 files" in retried.stderr) == (0, True)
    assert [file for file in files(api, id) if file["file_key"] not in broken] == done
    assert len(results(api, bucket, "tags/")) == len(COLOURS) + len(broken)
    assert (after.returncode, after.stdout) == (0, "")


def test_a_running_job_is_cancelled_and_listed(api: ApiClient, whole_stack: Running, tagger: str, bucket: str) -> None:
    endpoint = api("GET", f"/bots/{tagger}").json["endpoint_name"]
    whole_stack.aws.runtime.order(RuntimeFault.MODEL_NOT_READY, endpoint=endpoint, times=1000)

    begun = run(api, tagger, bucket, "--no-wait", "--json")
    id = json.loads(begun.stdout)["job_id"]
    eventually(lambda: files(api, id, status="PROCESSING"), bool)
    running = byob(api, "jobs", "--bot", tagger, "--status", "RUNNING", "--json")
    cancelled = byob(api, "cancel", id)
    waited = byob(api, "job", id, "--wait")
    listed = byob(api, "jobs", "--bot", tagger)
    again = byob(api, "cancel", id)

    assert [job["job_id"] for job in json.loads(running.stdout)] == [id]
    assert (cancelled.returncode, f"cancelling job {id}" in cancelled.stderr) == (0, True)
    assert (waited.returncode, "the job ended as CANCELLED" in waited.stderr) == (1, True)
    assert (listed.returncode, id in listed.stdout, "CANCELLED" in listed.stdout) == (0, True, True)
    assert (again.returncode, "is finished already (CANCELLED)" in again.stderr) == (1, True)
