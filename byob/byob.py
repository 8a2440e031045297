#!/usr/bin/env python3
"""Bring Your Own Bot, the author's side: make a bot, register it with the service, and run it over files in S3.

The folder may be copied anywhere; it needs what `requirement.txt` lists. `byob.py --help` tells the rest.
"""

import sys

try:
    import typer

    import bot_commands
    import job_commands  # noqa: F401  # its import adds its commands
    from cli import app, with_options
    from configuration import DEFAULT_FILE
    from words import Failure, say
except ModuleNotFoundError as missing:
    sys.exit(f"Error: byob.py needs the package {missing.name}: python3 -m pip install -r requirement.txt")


def start(context: typer.Context) -> None:
    """Bring Your Own Bot: register bots with the service, run them over files in S3, and see what became of them.

    Without a command, the bot in ./bot_config.json is created, or updated if it is known, and its
    configuration is printed as the service then has it.

    Examples:
      python3 byob.py
      python3 byob.py --url https://abc123.execute-api.cn-northwest-1.amazonaws.com.cn/prod list
      BYOB_URL=http://127.0.0.1:3000 python3 byob.py show foo_bot --json
      python3 byob.py run foo_bot s3://media/2026/ --out s3://results/tags --bots 4

    Exit codes: 0 fine, 1 failed, 2 wrong usage, 130 interrupted.
    """
    if context.invoked_subcommand is None:
        bot_commands.register(context, DEFAULT_FILE)


app.callback(invoke_without_command=True)(with_options(start))


def main() -> None:
    """Run the command line, every foreseen failure as one sentence."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # never fail on a character
    try:
        app()
    except Failure as failure:
        say(f"Error: {failure.sentence}")
        for line in failure.more:
            say(f"  {line}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
