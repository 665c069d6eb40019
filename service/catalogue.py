"""The settings as people read them: for ``--help``, for the table of docs/configuration.md and for .env.example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from service.addresses import MASK, masked
from service.settings import GROUPS, Settings

_HEADINGS: Final = {
    next(name for name, field in group.model_fields.items() if not field.exclude): group.heading for group in GROUPS
}
"""Each group begins with this setting."""
_CODE: Final = re.compile(
    r"\b[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+\b|\bProfilePhotoAI-[\w-]+|\b(?:http|rediss?(?:\+cluster)?)://[^\s,]+|\bPORT\b|\bHOST\b"
    r"|\bsystem\.degraded\b|\breports/|\bX-Forwarded-For\b"
)
"""What is code in a description: names with underscores, addresses, and a few more."""
_DOCUMENT: Final = re.compile(r"\bdocs/([\w-]+\.md)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One setting. ``heading`` is that of the group it begins; ``default`` is empty where there is none to name."""

    name: str
    description: str
    default: str
    is_needed: bool
    is_secret: bool
    is_switch: bool
    example: str
    heading: str

    @property
    def variable(self) -> str:
        """The environment variable's name."""
        return self.name.upper()

    @property
    def explanation(self) -> str:
        """The description with what holds if nothing is said."""
        if self.is_needed:
            return f"{self.description} Needed."
        return f"{self.description} Default: {self.default}." if self.default else self.description


def entries() -> Iterator[Entry]:
    """Return what a deployment may set, in the model's order."""
    for name, field in Settings.model_fields.items():
        if not field.exclude:
            yield Entry(
                name=name,
                description=field.description or "",
                default="" if field.is_required() else shown(name, field.default),
                is_needed=field.is_required(),
                is_secret=is_secret(field),
                is_switch=field.annotation is bool,
                example=str((field.examples or [""])[0]),
                heading=_HEADINGS.get(name, ""),
            )


def spellings(name: str) -> frozenset[str]:
    """Return the variables that say the setting, in small letters."""
    alias = Settings.model_fields[name].validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [name]
    return frozenset(str(choice).lower() for choice in choices)


def is_secret(field: FieldInfo) -> bool:
    """Tell whether nobody should see the value on a command line."""
    return not field.repr or "SecretStr" in str(field.annotation)


def shown(name: str, value: Any) -> str:
    """Write the value as the environment would say it, its secrets masked: those within addresses too."""
    match value:
        case None:
            return "off" if name == "metrics_port" else ""
        case SecretStr():
            return MASK
        case tuple():
            return ",".join(map(masked, value)) or ("off" if name == "anonymous_pipelines" else "")
        case float():
            return f"{value:g}"
        case _:
            return str(value).lower() if isinstance(value, bool) else masked(str(value))


def as_table() -> str:
    """Write the settings as tables in Markdown, one for each group."""
    lines: list[str] = []
    for entry in entries():
        if entry.heading:
            lines += ["", f"### {entry.heading}", "", "| variable | default | meaning |", "|---|---|---|"]
        default = "needed" if entry.is_needed else f"`{entry.default}`" if entry.default else ""
        lines.append(f"| `{entry.variable}` | {default} | {_in_markdown(entry.description)} |")
    return "\n".join([*lines[1:], ""])


def _in_markdown(text: str) -> str:
    coded = _CODE.sub(lambda found: f"`{found[0]}`", text.replace("|", "\\|"))
    return _DOCUMENT.sub(r"[\1](\1)", coded)


def as_env_example() -> str:
    """Write a file for ``--env-file``: what is needed with an example, the rest as comments with their defaults."""
    lines = [
        "# The settings of the service: `python -m service --env-file PATH` reads a file like this one.",
        "# Written by scripts/settings from service/variables; what is commented out is the default.",
    ]
    for entry in entries():
        if entry.heading:
            lines += ["", f"# ---- {entry.heading} ----"]
        lines += ["", f"# {entry.description}"]
        lines.append(f"{entry.variable}={entry.example}" if entry.is_needed else f"#{entry.variable}={entry.default}")
    return "\n".join([*lines, ""])
