"""`python -m tests.template.holding TEMPLATE…`: hold each template to the rules, and print whether one was broken.

All in one process: what takes the time is to read the source, which is the same for all.
"""

import contextlib
import io
import sys
from typing import Final

import pytest

from local import template

RULES: Final = ("tests/template/test_permissions.py", "tests/template/test_stack.py")


def main(paths: list[str]) -> None:
    """Run the rules' tests over each template."""
    for path in paths:
        for cached in (template.stack, template.functions, template.handlers, template.state_machines):
            cached.cache_clear()
        for module in [name for name in sys.modules if name.startswith("tests.template.test_")]:
            del sys.modules[module]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = pytest.main(["-qx", "-p", "no:cacheprovider", "--template", path, *RULES])
        verdict = "broken" if code == pytest.ExitCode.TESTS_FAILED else "kept"
        print(
            verdict if code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) else repr(said.getvalue()), flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
