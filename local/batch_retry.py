"""When Batch tries a failed attempt again: RetryStrategy as its API reference has it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_MAX_ATTEMPTS: Final = 10
_MAX_RULES: Final = 5
_MAX_PATTERN: Final = 512
_TEXT: Final = re.compile(r"[A-Za-z0-9.:\s]*\*?")
_NUMBER: Final = re.compile(r"[0-9]*\*?")
_ACTIONS: Final = frozenset({"RETRY", "EXIT"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt failed; `exit_code` is None where the host went away with the container."""

    status_reason: str
    reason: str = ""
    exit_code: int | None = None


def violations(strategy: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a strategy, in sentences."""
    wrong = []
    attempts, rules = strategy.get("attempts"), strategy.get("evaluateOnExit", [])
    if attempts is not None and not 1 <= attempts <= _MAX_ATTEMPTS:
        wrong.append(f"retryStrategy.attempts must be between 1 and {_MAX_ATTEMPTS}, was {attempts}")
    if rules and attempts is None:
        wrong.append("retryStrategy.evaluateOnExit needs retryStrategy.attempts")
    if len(rules) > _MAX_RULES:
        wrong.append(f"retryStrategy.evaluateOnExit takes up to {_MAX_RULES} entries, there were {len(rules)}")
    for rule in rules:
        if rule["action"].upper() not in _ACTIONS:
            wrong.append(f"retryStrategy.evaluateOnExit.action must be RETRY or EXIT, was {rule['action']!r}")
        for condition, form in (("onStatusReason", _TEXT), ("onReason", _TEXT), ("onExitCode", _NUMBER)):
            pattern = rule.get(condition, "")
            if len(pattern) > _MAX_PATTERN or not form.fullmatch(pattern):
                wrong.append(f"retryStrategy.evaluateOnExit.{condition} is no pattern that Batch takes: {pattern!r}")
    return wrong


def is_tried_again(strategy: Mapping[str, Any], attempts_made: int, outcome: Outcome) -> bool:
    """Decide after a failed attempt: the first rule of which all conditions hold; without one, there is a retry."""
    if attempts_made >= strategy.get("attempts", 1):
        return False
    for rule in strategy.get("evaluateOnExit", []):
        if _holds(rule, outcome):
            return bool(rule["action"].upper() == "RETRY")
    return True


def _holds(rule: Mapping[str, Any], outcome: Outcome) -> bool:
    code = "" if outcome.exit_code is None else str(outcome.exit_code)
    seen = {"onStatusReason": outcome.status_reason, "onReason": outcome.reason, "onExitCode": code}
    return all(_matches(rule[condition], value) for condition, value in seen.items() if rule.get(condition))


def _matches(pattern: str, value: str) -> bool:
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern
