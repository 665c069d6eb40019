"""What no type says of a request, in JSON Schema: the rules that models check by themselves, told in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from consumers import styles
from consumers.framing import PhotoFormat
from jobs.events import EventType
from jobs.files import EXTENSIONS, MAX_UPLOAD_BYTES
from jobs.ids import DEVICE_ID

Rule = dict[str, Any]
BLANK: Final[Rule] = {"type": ["string", "null"], "pattern": r"^\s*$"}
"""As good as absent."""
_PLAIN: Final = r"^[^\x00-\x1f\x7f/\\]+"
_COLOUR: Final = "^#[0-9a-fA-F]{6}$"
DEGREES: Final[Rule] = {"type": ["number", "string"], "pattern": r"^[+-]?[0-9]+(\.[0-9]+)?$"}
"""As clients of the originals send them: as text, too."""
_NO_NUMBER: Final[Rule] = {"type": "null"}


def one_of(*words: str) -> Rule:
    """Say which words there are, for a field that may be blank."""
    return {"anyOf": [{"enum": list(words)}, BLANK]}


def _together(latitude: Rule, longitude: Rule, *names: str) -> Rule:
    return {"properties": {"latitude": latitude, "longitude": longitude}, "required": list(names)}


def _ending(*endings: str) -> str:
    letters = ("".join(f"[{letter}{letter.upper()}]" for letter in ending.removeprefix(".")) for ending in endings)
    return rf"{_PLAIN}\.({'|'.join(letters)})$"


UPLOAD: Final[Rule] = {
    "anyOf": [
        {"properties": {"contentType": {"const": kind}, "fileName": {"pattern": _ending(*endings)}}}
        for kind, endings in EXTENSIONS.items()
    ]
}
FILE_SIZE: Final[Rule] = {"minimum": 1, "maximum": MAX_UPLOAD_BYTES}
DEVICE: Final[Rule] = {"pattern": f"^{DEVICE_ID.pattern}$"}
POSITION: Final[Rule] = {
    "anyOf": [_together(DEGREES, DEGREES, "latitude", "longitude"), _together(_NO_NUMBER, _NO_NUMBER)],
    "not": _together({"const": 0}, {"const": 0}, "latitude", "longitude"),
}
LATITUDE: Final[Rule] = {"minimum": -90, "maximum": 90}
LONGITUDE: Final[Rule] = {"minimum": -180, "maximum": 180}
EVENTS: Final[Rule] = {"minItems": 1, "items": {"enum": [event.value for event in EventType]}}
FORMAT: Final = one_of(*PhotoFormat)
BACKGROUND: Final[Rule] = {"anyOf": [{"enum": list(styles.BACKGROUNDS)}, {"type": "string", "pattern": _COLOUR}, BLANK]}


def _wish(style: Rule, needs: str, *, prompt: Rule | None = None, background: Rule | None = None) -> Rule:
    properties = {"style": style, "prompt": prompt, "background": background}
    return {"properties": {name: rule for name, rule in properties.items() if rule}, "required": [needs]}


def _wishes() -> list[Rule]:
    """Tell the ways to ask for a portrait apart: a style, with or without a background, or a prompt."""
    ready = [style for style in styles.STYLES.values() if not style.takes_prompt]
    own = styles.STYLES[styles.CUSTOM_STYLE]
    said = {"type": "string", "pattern": r"\S"}
    return [
        _wish({"enum": [style.id for style in ready if style.takes_background]}, "style"),
        _wish({"enum": [style.id for style in ready if not style.takes_background]}, "style", background=BLANK),
        _wish(one_of(own.id), "prompt", prompt=said, background=None if own.takes_background else BLANK),
    ]


GENERATE: Final[Rule] = {"anyOf": _wishes()}
