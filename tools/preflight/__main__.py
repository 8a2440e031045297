"""Looks whether a deployment can succeed, and changes nothing: `make preflight`.

    .venv/bin/python -m tools.preflight --region eu-west-1 --parameter WebAcl=true

What will be deployed is read from template.yaml and samconfig.toml, as `sam deploy` reads it; --parameter goes before
both. Exit codes: 0 nothing is wrong, 1 something is, 2 this command was called wrongly.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import suppress

from botocore.exceptions import BotoCoreError

from tools.preflight.account import Account, CouldNotLookError
from tools.preflight.checks import CHECKS, FIRST, Check, updating
from tools.preflight.deployment import Deployment, UnresolvedError, read
from tools.preflight.finding import Finding, State, unseen, wrong


def look(deployment: Deployment, account: Account) -> Iterator[tuple[str, Finding]]:
    """Carry out the checks one after the other; where the first ones fail, say so of the others without asking."""
    can_ask = True
    for check in FIRST:
        finding = looked(check, deployment, account)
        can_ask = can_ask and finding.state is State.OK
        yield check.subject, finding
    if can_ask:
        # Where the stack cannot be seen, the check of it says so.
        with suppress(CouldNotLookError):
            deployment = updating(deployment, account)
    for check in CHECKS:
        yield check.subject, looked(check, deployment, account) if can_ask else unseen("see above")


def looked(check: Check, deployment: Deployment, account: Account) -> Finding:
    """Carry out one check; whatever keeps it from looking is what it found."""
    try:
        return check.look(deployment, account)
    except (CouldNotLookError, UnresolvedError) as error:
        return unseen(str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this check alone
        return unseen(f"this check failed by itself ({type(error).__name__}: {error}); please report it")


def main() -> int:
    """Carry out the checks and print a line each; tell the exit code."""
    options = _options()
    given = dict(pair.partition("=")[::2] for pair in options.parameter)
    try:
        deployment = read(region=options.region, parameters=given)
        account = Account(deployment.session)
        findings = look(deployment, account)
    except (BotoCoreError, OSError, ValueError) as error:  # a profile or a samconfig.toml that cannot be read
        findings = iter([("settings", wrong(str(error)))])
    found = []
    for subject, finding in findings:
        found.append((subject, finding))
        line = f"{finding.state.value:<14}  {subject}: {finding.sentence}"
        print(line, flush=True, file=sys.stderr if options.json else sys.stdout)
    states = [finding.state for _, finding in found]
    if options.json:
        print(
            json.dumps(
                [{"subject": subject, "state": each.state.value, "sentence": each.sentence} for subject, each in found],
                indent=2,
            )
        )
    else:
        print(", ".join(f"{states.count(state)} {state.value}" for state in State if state in states))
    return int(State.WRONG in states)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make preflight", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--region", help="deploy there; otherwise samconfig.toml, AWS_REGION or the profile says it")
    parser.add_argument("--parameter", action="append", default=[], metavar="KEY=VALUE", help="may be repeated")
    parser.add_argument("--json", action="store_true", help="print the findings alone, as JSON; the lines go to stderr")
    options = parser.parse_args()
    for pair in options.parameter:
        if "=" not in pair:
            parser.error(f"--parameter {pair}: write it as KEY=VALUE")
    return options


if __name__ == "__main__":
    sys.exit(main())
