"""The demonstration: an author registers the sample bot, and watches its endpoint come into service."""

import json
import os
import subprocess
import sys
from typing import Final

from local import template

KIT: Final = template.ROOT / "byob"


def demonstrate(api_url: str) -> None:
    """Run byob.py as an author would; raise CalledProcessError where something is not as it should be."""
    name = json.loads((KIT / "bot_config.json").read_text())["name"]
    _byob(api_url, "Register the bot in byob/bot_config.json")
    _byob(api_url, "Wait until its endpoint, which was missing, is in service; read it back", "show", name, "--wait")
    _byob(api_url, "List all bots", "list")
    _byob(api_url, "List the endpoints, with the bots that use them", "endpoints")


def _byob(api_url: str, what: str, *arguments: str) -> None:
    print(f"\n── {what}\n   $ {' '.join(('python3 byob.py', *arguments))}", flush=True)
    environment = {**os.environ, "BYOB_URL": api_url}
    subprocess.run([sys.executable, "byob.py", *arguments], cwd=KIT, env=environment, check=True)
