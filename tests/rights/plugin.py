"""Has every run of the tests evaluate what the roles asked for while it went on; what would be denied fails it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest

from local.aws import EmulatedAws
from local.template import functions
from tests.proxies import SigningProxy
from tests.reach import reached_by
from tests.rights.asked import Asked
from tests.rights.evaluation import Verdict, evaluate, unused
from tests.rights.policies import Policies, deployed
from tests.rights.recorder import Recorder

RECORDER: Final = pytest.StashKey[Recorder]()
_REPORT: Final = pytest.StashKey["Report"]()


@dataclass(frozen=True)
class Report:
    """What a run has shown of the roles' rights: a line a role, and what fails the run."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def pytest_configure(config: pytest.Config) -> None:
    """Have the emulated AWS, and the proxy before the node, tell of each request."""
    recorder = config.stash[RECORDER] = Recorder()
    EmulatedAws.witness = recorder.on_aws
    SigningProxy.witness = recorder.on_domain


@pytest.fixture
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what a test asks for on purpose that no deployment would: another function, another stack's names."""
    monkeypatch.setattr(EmulatedAws, "witness", None)
    monkeypatch.setattr(SigningProxy, "witness", None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Evaluate, once everything has stopped."""
    recorder = session.config.stash[RECORDER]
    if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not (recorder.asked or recorder.unknown):
        return
    is_whole = exitstatus == pytest.ExitCode.OK and _is_whole(session.config)
    report = session.config.stash[_REPORT] = reported(recorder, deployed(), is_whole=is_whole)
    if report.problems:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was evaluated, by role, and what is wrong."""
    if report := config.stash.get(_REPORT, None):
        terminalreporter.section("calls of AWS and OpenSearch, evaluated against all policies")
        for line in report.lines:
            terminalreporter.write_line(line)
        for problem in report.problems:
            terminalreporter.write_line(problem, red=True)


def reported(recorder: Recorder, policies: Policies, *, is_whole: bool) -> Report:
    """Evaluate what was recorded. Only the whole of the tests (`is_whole`) tells what nobody has called."""
    asked = list(recorder.asked)
    verdicts = dict(zip(asked, evaluate(asked, policies), strict=True))
    problems = [f"not understood ({count}): {what}" for what, count in recorder.unknown.items()]
    problems += [f"called without its role's keys ({count}): {what}" for what, count in recorder.without_role.items()]
    problems += [
        f"denied ({recorder.asked[one]}): {one}: {verdict.reason}"
        for one, verdict in verdicts.items()
        if not verdict.allowed
    ]
    if is_whole:
        problems += [f"never seen to call: {role}" for role in _silent(recorder)]
        problems += [f"never needed: {' '.join(right)}" for right in unused(policies, _used(verdicts))]
    return Report([*_table(recorder, verdicts), f"{recorder.others} more requests were the tests' own"], problems)


def _is_whole(config: pytest.Config) -> bool:
    """Tell whether all tests were run: none was named, chosen or left out."""
    # The last failed ones can be chosen only where pytest keeps a cache.
    chosen = (config.option.keyword, getattr(config.option, "lf", False), config.option.deselect, config.option.ignore)
    return config.args_source == pytest.Config.ArgsSource.TESTPATHS and not any(chosen)


def _silent(recorder: Recorder) -> Iterator[str]:
    for function in functions().values():
        if reached_by(function.handler.split(".")[1]).actions and not recorder.calls[function.role]:
            yield function.role


def _used(verdicts: dict[Asked, Verdict]) -> set[tuple[str, str, str]]:
    return {(one.role, name, one.action) for one, verdict in verdicts.items() for name in verdict.statements}


def _table(recorder: Recorder, verdicts: dict[Asked, Verdict]) -> Iterator[str]:
    """Give a line a role: calls, what they asked for that differs, and how much of that is denied."""
    distinct = Counter(one.role for one in verdicts)
    denied = Counter(one.role for one, verdict in verdicts.items() if not verdict.allowed)
    names = {function.role: function.id for function in functions().values()}
    yield f"{'function or role':<24}{'calls':>8}{'distinct':>10}{'denied':>8}"
    for role in sorted(distinct):
        yield f"{names.get(role, role):<24}{recorder.calls[role]:>8}{distinct[role]:>10}{denied[role]:>8}"
    yield f"{'all':<24}{recorder.calls.total():>8}{distinct.total():>10}{denied.total():>8}"
