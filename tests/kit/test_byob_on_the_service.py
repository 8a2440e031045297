"""The author's kit against the real service."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.demo import KIT
from tests.support import ApiClient, eventually

Make = Callable[..., dict[str, Any]]


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
