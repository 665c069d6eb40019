"""Addresses as people may read them: nothing that lets somebody in."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus

MASK: Final = "********"
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
# Up to the last @: a password that was not quoted may hold any of the signs that end it elsewhere.
_USERINFO: Final = re.compile(r"(?<=://)\S*@")
_PARAMETER: Final = re.compile(r"(?<=[?&])[^?&]+")
_SECRET: Final = re.compile("pass|user|secret|token|key|credential|signature", re.IGNORECASE)


def masked(text: str) -> str:
    """Return the text with users and passwords masked in all its addresses, before the host and in the query."""
    return _ADDRESS.sub(lambda found: _PARAMETER.sub(_parameter, _USERINFO.sub(f"{MASK}@", found[0])), text)


def _parameter(found: re.Match[str]) -> str:
    name, _, value = found[0].partition("=")
    return f"{name}={MASK}" if value and _SECRET.search(unquote_plus(found[0])) else found[0]
