"""What the bot does with one file: write your own main_task here; nothing else needs an edit.

The plumbing beside this file brings each file from S3, calls main_task, writes its result back and keeps the books.
What main_task needs again and again, such as a model, is loaded at the top of this file: once a process.
"""

from pathlib import Path
from typing import Any

from plumbing import invoke_endpoint, start

TIMEOUT_SECONDS = 300
"""A file on which main_task spends longer than this is recorded as ERROR, and the next one is begun."""


def main_task(file_name: str) -> Any:
    """Work on one file and give its result.

    `file_name` is a local copy of the object, with its extension; it is removed afterwards. The result is whatever
    JSON can hold; it goes to S3 as `<output prefix>/<key of the file>.json`. An exception makes the file an ERROR with
    that exception as its reason, and the next file is begun.
    """
    return invoke_endpoint(Path(file_name).read_bytes())


if __name__ == "__main__":
    start()
