"""What the commands' arguments have in common: flags made from the settings, ``--env-file``, and numbers within bounds."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from service.process import CannotStart

OK: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2
INTERRUPTED: Final = 130
TERMINATED: Final = 143

DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEMO_USER: Final = "demo"

_SETTING: Final = "setting "


class Subparsers(Protocol):
    """What a command adds itself to."""

    def add_parser(self, name: str, **options: Any) -> CommandParser:
        """Return the parser of a new command."""


class CommandParser(argparse.ArgumentParser):
    """The parser of one command. ``takes_settings``: it has a flag for each setting that is no secret.

    The flags are those of the settings' model, which is loaded for help and for a flag that nobody knows otherwise.
    """

    def __init__(self, *, takes_settings: bool = False, **options: Any) -> None:
        if takes_settings:
            options["usage"] = "%(prog)s [options] [--SETTING VALUE ...]"
        super().__init__(allow_abbrev=False, **options)
        self._takes_settings = takes_settings
        self._settings: dict[str, argparse.Action] = {}

    def add_setting(self, name: str, **options: Any) -> None:
        """Add the flag of the setting."""
        flag = f"--{name.replace('_', '-')}"
        self._settings[name] = self.add_argument(flag, dest=_SETTING + name, metavar="VALUE", **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, with the flags of all settings if one of the arguments may be such a flag."""
        if self._takes_settings and self._has_unknown(args or ()):
            self._add_settings()
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")  # with the usage of this command
        return known, unknown

    def format_help(self) -> str:
        """Explain all flags, those of the settings too."""
        if self._takes_settings:
            self._add_settings()
        return super().format_help()

    def _has_unknown(self, arguments: Sequence[str]) -> bool:
        flags = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")}
        return not flags <= self._option_string_actions.keys()

    def _add_settings(self) -> None:
        catalogue = importlib.import_module("service.catalogue")
        settings = self.add_argument_group(
            "settings", "Each is the environment variable of its name as well; the flag wins. Secrets have no flag."
        )
        for entry in catalogue.entries():
            if entry.is_secret:
                continue
            said = entry.explanation.replace("%", "%%")
            if entry.name in self._settings:
                self._settings[entry.name].help = said
            else:
                flag, more = f"--{entry.name.replace('_', '-')}", _switch() if entry.is_switch else {}
                settings.add_argument(flag, dest=_SETTING + entry.name, metavar="VALUE", help=said, **more)
        self._takes_settings = False


def _switch() -> dict[str, Any]:
    return {"nargs": "?", "const": "true"}


def flags(options: argparse.Namespace) -> dict[str, object]:
    """Return the settings that were given as flags, by name and as text."""
    said = vars(options).items()
    return {
        name.removeprefix(_SETTING): value for name, value in said if name.startswith(_SETTING) and value is not None
    }


def add_env_file(parser: argparse.ArgumentParser) -> None:
    """Add ``--env-file``, of which `load_env_file` makes something."""
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="PATH",
        help="read environment variables from this file (NAME=value lines, export allowed); those that are set already win",
    )


def load_env_file(options: argparse.Namespace) -> None:
    """Put what the file says into the environment, where it says nothing yet; `options.from_file` names it.

    Raises CannotStart.
    """
    options.from_file = frozenset[str]()
    path: Path | None = getattr(options, "env_file", None)
    if path is None:
        return
    dotenv = importlib.import_module("dotenv")
    try:
        with path.open(encoding="utf-8") as file:
            said: dict[str, str | None] = dotenv.dotenv_values(stream=file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CannotStart(f"--env-file {path} cannot be read: {reason}.") from error
    new = {name: value for name, value in said.items() if value and not os.environ.get(name)}
    os.environ.update(new)
    options.from_file = frozenset(new)


def add_caller(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where the service is and who calls."""
    parser.add_argument(
        "--url",
        default=DEFAULT_URL,
        metavar="URL",
        help="where the service is (default %(default)s)",
    )
    parser.add_argument(
        "--token-env",
        default="DARKROOM_TOKEN",
        metavar="NAME",
        help="the environment variable that holds the id token (default %(default)s)",
    )
    parser.add_argument(
        "--demo-user",
        metavar="NAME",
        help=f"sign in as this user of an embedded service (default, where there is no token: {DEMO_USER})",
    )


def add_saving(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where a job's picture goes."""
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where to save the picture (default: JOB_ID with its extension)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite that file")


def number(kind: type[int] | type[float], least: float, most: float) -> Callable[[str], float]:
    """Make an argument type that says what numbers it takes."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be a number from {least:,.10g} to {most:,.10g}")
        return value

    return read
