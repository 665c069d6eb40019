"""The command line: ``python -m service COMMAND``, and ``serve`` where no command is named."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
from collections.abc import Sequence
from typing import Final

from service.commands.arguments import BAD_USAGE, INTERRUPTED, OK, TERMINATED, CommandParser, load_env_file
from service.commands.registry import COMMANDS
from service.process import VERSION, CannotStart, Stopped

_OURS: Final = ("-h", "--help", "--version")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; `run` of what is returned is what to run."""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Darkroom turns uploads into AI results and pushes every change to its owner's browsers. Without a command "
        "it serves.",
        epilog="`python -m service COMMAND --help` explains a command. Exit codes: 0 done, 1 something failed, 2 a command line "
        "or settings that do not work, 130 interrupted, 143 terminated.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"Darkroom {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=CommandParser)
    for command in COMMANDS:
        command.add(commands)
    return parser.parse_args(_with_command(arguments))


def _with_command(arguments: Sequence[str]) -> Sequence[str]:
    is_named = bool(arguments) and (not arguments[0].startswith("-") or arguments[0] in _OURS)
    return arguments if is_named else ("serve", *arguments)


def main() -> int:
    """Run a command; returns its exit code."""
    try:
        options = parse_arguments(sys.argv[1:])
        load_env_file(options)
        return _run(options)
    except CannotStart as error:
        print(error, file=sys.stderr)
        return BAD_USAGE
    except Stopped:
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except asyncio.CancelledError:  # by SIGTERM, where a command takes leave then
        return TERMINATED
    except ModuleNotFoundError as error:
        if importlib.util.find_spec("uvloop"):
            raise  # the environment is there: something else is wrong
        print(
            f"{error}. This Python has not what the service needs: run `bash scripts/demo` once, which makes an environment, "
            "then `.venv/bin/python -m service`.",
            file=sys.stderr,
        )
        return BAD_USAGE


def _run(options: argparse.Namespace) -> int:
    import uvloop  # noqa: PLC0415 - a tenth of a second that --help and --version can spare

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code: int = runner.run(options.run(options))
        return code


if __name__ == "__main__":
    sys.exit(main())
