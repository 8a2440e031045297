"""What a check found, and the one line in which it says so."""

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """How it stands: as it should, worth a thought, in the way of the deployment, or not to be seen."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    COULD_NOT_LOOK = "could not look"


@dataclass(frozen=True, slots=True)
class Finding:
    """How a thing stands, and a sentence that says what to do where it does not stand well."""

    state: State
    sentence: str


def ok(sentence: str) -> Finding:
    """Say that a thing is as it should be."""
    return Finding(State.OK, sentence)


def warning(sentence: str) -> Finding:
    """Say what will be missed after a deployment that succeeds."""
    return Finding(State.WARNING, sentence)


def wrong(sentence: str) -> Finding:
    """Say why the deployment will not succeed, or nothing will work after it."""
    return Finding(State.WRONG, sentence)


def unseen(sentence: str) -> Finding:
    """Say what could not be looked at."""
    return Finding(State.COULD_NOT_LOOK, sentence)
