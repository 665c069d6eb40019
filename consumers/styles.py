"""The portrait styles a caller may choose; their words lie in ``styles.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_STYLE: Final = "professional"
CUSTOM_STYLE: Final = "custom"
_FILE = Path(__file__).with_name("styles.json")

_KEEP_THE_PERSON: Final = (
    "Keep the person's identity, face shape, age and skin exactly recognisable; change nothing about who they are. "
    "Answer with one photorealistic picture and no text in it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A style with its names; ``prompt`` is None where the caller's own words are all there is."""

    id: str
    name_en: str
    name_ko: str
    description_en: str
    description_ko: str
    prompt: str | None

    @property
    def takes_prompt(self) -> bool:
        """Tell whether the caller's words are needed rather than wishes on top."""
        return self.prompt is None


def compose(style_id: str | None, wishes: str | None) -> str:
    """Write the words for Gemini: the style's own, then the caller's wishes."""
    style = STYLES.get(style_id or CUSTOM_STYLE, STYLES[CUSTOM_STYLE])
    wanted = (wishes or "").strip()
    if style.prompt is None:
        return f"{wanted}\n\n{_KEEP_THE_PERSON}"
    added = f"\n\nThe person also wishes: {wanted}" if wanted else ""
    return f"{style.prompt}{added}\n\n{_KEEP_THE_PERSON}"


def _read_styles() -> Mapping[str, Style]:
    rows = json.loads(_FILE.read_text(encoding="utf-8"))
    styles = (
        Style(
            id=row["id"],
            name_en=row["name"]["en"],
            name_ko=row["name"]["ko"],
            description_en=row["description"]["en"],
            description_ko=row["description"]["ko"],
            prompt=row["prompt"],
        )
        for row in rows
    )
    return {style.id: style for style in styles}


STYLES: Final = _read_styles()
