"""The demonstration: an author registers the sample bot, watches its endpoint come into service, and runs it."""

import json
import os
import subprocess
import sys
from typing import Any, Final

from local import samples, template
from local.aws import client

KIT: Final = template.ROOT / "byob"
_OUTPUT: Final = "tags"
_RESULTS_SHOWN: Final = 3


class ResultsError(RuntimeError):
    """Raised when there is not exactly one result for each file."""


def demonstrate(api_url: str, aws_url: str) -> None:
    """Run byob.py as an author would; raise CalledProcessError or ResultsError where something goes wrong."""
    name = json.loads((KIT / "bot_config.json").read_text())["name"]
    _byob(api_url, "Register the bot in byob/bot_config.json")
    _byob(api_url, "Wait until its endpoint, which was missing, is in service; read it back", "show", name, "--wait")
    _byob(api_url, "List all bots", "list")
    _byob(api_url, "List the endpoints, with the bots that use them", "endpoints")
    s3 = client("s3", aws_url)
    keys = samples.provide(s3)
    files, out = f"s3://{samples.BUCKET}/{samples.PREFIX}", f"s3://{samples.RESULTS}/{_OUTPUT}"
    what = f"Run it over {len(keys)} sample pictures, two at work at a time"
    _byob(api_url, what, "run", name, files, "--out", out, "--bots", "2")
    _show_results(s3, keys)


def _show_results(s3: Any, keys: list[str]) -> None:
    found = [each["Key"] for each in s3.list_objects_v2(Bucket=samples.RESULTS).get("Contents", [])]
    if sorted(found) != sorted(f"{_OUTPUT}/{key}.json" for key in keys):
        raise ResultsError(f"{len(keys)} pictures were to have one result each; there are {sorted(found)}")
    print(f"\n── Look at three of the {len(found)} results, one for each picture")
    for key in found[:_RESULTS_SHOWN]:
        result = json.loads(s3.get_object(Bucket=samples.RESULTS, Key=key)["Body"].read())
        print(f"s3://{samples.RESULTS}/{key}\n   {json.dumps(result)}")


def _byob(api_url: str, what: str, *arguments: str) -> None:
    print(f"\n── {what}\n   $ {' '.join(('python3 byob.py', *arguments))}", flush=True)
    environment = {**os.environ, "BYOB_URL": api_url}
    subprocess.run([sys.executable, "byob.py", *arguments], cwd=KIT, env=environment, check=True)
