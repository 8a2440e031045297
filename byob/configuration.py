"""The author's file, bot_config.json."""

import json
import sys
from pathlib import Path
from typing import Any

from service import bot_path
from words import Failure

DEFAULT_FILE = Path("bot_config.json")


def read_configuration(file: Path) -> tuple[bytes, str | None]:
    """Read the file's bytes, to send as they are, and the path of the bot that they name, if they do.

    What is wrong with a configuration is for the service to say; only what is no JSON at all is refused here.
    """
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}") from error
    content = content.removeprefix(b"\xef\xbb\xbf")  # the byte order mark that Windows editors write

    try:
        configuration = json.loads(content.decode(), parse_int=float)  # int() refuses thousands of digits
    except UnicodeDecodeError as error:
        before = content[: error.start].decode().split("\n")
        where = f"line {len(before)}, column {len(before[-1]) + 1}"
        raise Failure(f"{file} is not UTF-8 text: {where}: {error.reason}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Failure(f"{file} is not JSON: {where}: {error.msg}") from error
    except RecursionError:
        configuration = None
    if not isinstance(configuration, dict):
        return content, None
    return content, bot_path(configuration.get("name")) or bot_path(configuration.get("bot_name"))


def parsed(content: bytes) -> dict[str, Any]:
    """Give the fields of a configuration that was read; none where it is no JSON object."""
    configuration = json.loads(content)
    return configuration if isinstance(configuration, dict) else {}
