"""How a function becomes a command: its own parameters, and those that every command takes."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from service import Options

Command = TypeVar("Command", bound=Callable[..., None])

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help and one-line usage errors; also starts faster
    context_settings={"help_option_names": ["-h", "--help"]},
)


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """Show the function to Typer with the fields of Options after its own parameters.

    What was said before the command's name and after it is put together in `context.obj`.
    """
    shared = inspect.signature(Options).parameters
    own = inspect.signature(function).parameters
    parameters = [each.replace(kind=each.KEYWORD_ONLY) for each in (*own.values(), *shared.values())]

    def run(**values: Any) -> None:
        given = {name: values.pop(name) for name in shared}
        context: typer.Context = values["context"]
        context.obj = (context.obj or Options()).updated(given)
        function(**values)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # PEP 362; mypy knows it not
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    # A backspace keeps Typer from joining a paragraph's lines.
    run.__doc__ = (function.__doc__ or "").replace("    Examples:\n", "    \b\n    Examples:\n")
    return run


def command(name: str) -> Callable[[Command], Command]:
    """Make the function the command of that name."""

    def add(function: Command) -> Command:
        app.command(name)(with_options(function))
        return function

    return add
