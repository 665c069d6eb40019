"""The ``Prefer`` header (RFC 7240): for how long a caller would wait for the end of a job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from aiohttp import web

PREFER: Final = "Prefer"
APPLIED: Final = "Preference-Applied"
MOST_WAIT_SECONDS: Final = 55
"""Below the minute after which many proxies and clients give up."""
_MOST_CHARACTERS: Final = 1000
_PIECES: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[,;]|[^",;]+|"')
_SECONDS: Final = re.compile(r'([0-9]+)|"([0-9]+)"')
_BLANKS: Final = " \t"


def wait_seconds(request: web.Request) -> int | None:
    """Return for how long the caller would wait, 55 seconds at most; None when it does not say, or says it badly.

    As the RFC has it: the first of several counts, and what cannot be understood is ignored.
    """
    for preference in _preferences(request.headers.getall(PREFER, [])):
        name, _, value = preference.partition("=")
        if name.strip(_BLANKS).lower() == "wait":
            return _read(value.strip(_BLANKS))
    return None


def _preferences(lines: Iterable[str]) -> Iterator[str]:
    """Cut the lines into preferences, without their parameters."""
    for line in lines:
        if len(line) > _MOST_CHARACTERS:
            continue
        preference, has_parameters = "", False
        for piece in _PIECES.findall(line):
            if piece == ",":
                yield preference
                preference, has_parameters = "", False
            elif piece == ";":
                has_parameters = True
            elif not has_parameters:
                preference += piece
        yield preference


def _read(value: str) -> int | None:
    match = _SECONDS.fullmatch(value)
    if match is None:
        return None
    digits = (match[1] or match[2]).lstrip("0") or "0"
    return min(int(digits[:4]), MOST_WAIT_SECONDS)
