"""The portrait styles a caller may choose, and the backgrounds of some; their words lie in ``styles.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_STYLE: Final = "professional"
CUSTOM_STYLE: Final = "custom"
BACKGROUNDS: Final[Mapping[str, str]] = {"white": "#ffffff", "light-blue": "#cfe2f3", "grey": "#d5d7da"}
"""The backgrounds that have a name, as ``#rrggbb``."""
_COLOUR: Final = re.compile("#[0-9a-f]{6}")
_FILE = Path(__file__).with_name("styles.json")

_KEEP_THE_PERSON: Final = (
    "Keep the person's identity, face shape, age and skin exactly recognisable; change nothing about who they are. "
    "Answer with one photorealistic picture and no text in it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A style with its names; ``prompt`` is None where the caller's own words are all there is.

    ``takes_background``: one plain colour behind the person may be chosen.
    """

    id: str
    name_en: str
    name_ko: str
    description_en: str
    description_ko: str
    prompt: str | None
    takes_background: bool = False

    @property
    def takes_prompt(self) -> bool:
        """Tell whether the caller's words are needed rather than wishes on top."""
        return self.prompt is None


def compose(style_id: str | None, wishes: str | None, *, background: str | None = None, framing: str = "") -> str:
    """Write the words for Gemini: the style's own, then the caller's wishes, background and frame, then what always holds."""
    style = STYLES.get(style_id or CUSTOM_STYLE, STYLES[CUSTOM_STYLE])
    wanted = (wishes or "").strip()
    wishing = f"The person also wishes: {wanted}" if wanted else ""
    asked = [wanted] if style.prompt is None else [style.prompt, wishing]
    return "\n\n".join(filter(None, [*asked, _behind(background), framing, _KEEP_THE_PERSON]))


def colour_of(background: str) -> str | None:
    """Return a background's colour as ``#rrggbb`` in small letters: one of BACKGROUNDS, or itself. None where it is neither."""
    colour = BACKGROUNDS.get(background, background.lower())
    return colour if _COLOUR.fullmatch(colour) else None


def _behind(background: str | None) -> str:
    colour = colour_of(background) if background else None
    if colour is None:
        return ""
    named = f"{background} ({colour})" if background in BACKGROUNDS else colour
    return (
        f"Whatever was said of the background: make it exactly {named}, one plain colour all over, without gradient, texture, "
        "object or shadow."
    )


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
            takes_background=row.get("takesBackground", False),
        )
        for row in rows
    )
    return {style.id: style for style in styles}


STYLES: Final = _read_styles()
