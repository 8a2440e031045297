"""The demonstration: an author registers the sample bot, and sees it with its endpoint in service."""

import json
import os
import subprocess
import sys
import time
from typing import Final

from local import template

KIT: Final = template.ROOT / "byob"
_SETTLE_SECONDS: Final = 30


def demonstrate(api_url: str) -> None:
    """Run byob.py as an author would; raise CalledProcessError or TimeoutError where something is not as it should."""
    name = json.loads((KIT / "bot_config.json").read_text())["name"]
    _say("Register the bot in byob/bot_config.json", "python3 byob.py")
    _byob(api_url)
    _say("Wait until its endpoint, which was missing, is in service")
    _wait_until_in_service(api_url, name)
    _say("Read the configuration back", f"python3 byob.py show {name}")
    _byob(api_url, "show", name)
    _say("List all bots", "python3 byob.py list")
    _byob(api_url, "list")


def _wait_until_in_service(api_url: str, name: str) -> None:
    deadline, last = time.monotonic() + _SETTLE_SECONDS, ""
    while time.monotonic() < deadline:
        shown = subprocess.run(
            [sys.executable, "byob.py", "--json", "show", name],
            cwd=KIT,
            env={**os.environ, "BYOB_URL": api_url},
            check=True,
            capture_output=True,
        )
        endpoints = json.loads(shown.stdout)["endpoints"]
        states = ", ".join(f"{endpoint['name']}: {endpoint['status']}" for endpoint in endpoints)
        if states != last:
            print(f"  {states}", flush=True)
            last = states
        if all(endpoint["status"] == "InService" for endpoint in endpoints):
            return
    raise TimeoutError(f"the endpoint was not in service after {_SETTLE_SECONDS} s: {last}")


def _byob(api_url: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "byob.py", *arguments], cwd=KIT, env={**os.environ, "BYOB_URL": api_url}, check=True
    )


def _say(what: str, command: str = "") -> None:
    print(f"\n── {what}" + (f"\n   $ {command}" if command else ""), flush=True)
