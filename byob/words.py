"""What the kit says to the person who runs it."""

import json
import sys


class Failure(Exception):  # noqa: N818  # most are no errors of the program
    """The command cannot do what was asked: one sentence, and lines that tell more. The exit code is 1."""

    def __init__(self, sentence: str, *more: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.more = more


def harmless(text: str) -> str:
    """Write whatever could move the cursor or hide something as JSON escapes."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def say(text: str) -> None:
    """Tell the person, on stderr: stdout is for what was asked for."""
    print(harmless(text), file=sys.stderr)
