"""Sessions, held today and recorded once, against the document of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.contract import TRANSCRIPTS, complaints, read_transcript
from tests.contracts.session import record
from websocket import messages

RECORDED = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda file: file.stem)


async def test_a_session_of_today_is_as_described() -> None:
    """Both what the server says and what the client does."""
    assert [] == all_complaints(await record())


@RECORDED
def test_a_recorded_session_is_still_as_described(transcript: Path) -> None:
    """Who has written a client by it is not left behind."""
    assert [] == all_complaints(read_transcript(transcript))


@RECORDED
def test_what_a_client_has_said_is_still_understood(transcript: Path) -> None:
    """By the models themselves."""
    said = [line["message"] for line in read_transcript(transcript) if line["from"] == "client"]

    assert [message["type"] for message in said] == [messages.read(json.dumps(message)).type for message in said]


@RECORDED
async def test_a_session_of_today_says_all_that_a_recorded_one_said(transcript: Path) -> None:
    """In the same order, with every field and of the same kind: a client may lean on any. There may be more between."""
    held = iter(await record())
    for then in read_transcript(transcript):
        now = next((line for line in held if name(line) == name(then)), None)

        assert now is not None, f"{name(then)} is not said any more"
        assert [] == lost(then, now, name(then))


def test_a_field_that_is_gone_or_has_changed_is_seen() -> None:
    """What is new is no loss."""
    then, now = {"a": 1, "b": {"c": "x"}, "d": [1], "e": None}, {"a": 1.5, "b": {"new": 1}, "d": ["x", 2], "e": None}

    assert ["m.b.c is gone", "m.d.0 was number and is str"] == lost(then, now, "m")


def all_complaints(lines: list[dict[str, Any]]) -> list[str]:
    """Say what in a session is not as described."""
    spoken = [line for line in lines if "message" in line]
    return [why for line in spoken for why in complaints(line["message"], of_client=line["from"] == "client")]


def name(line: dict[str, Any]) -> str:
    """Name a line of a session."""
    return f"{line['from']}: {line['message']['type'] if 'message' in line else line['close']}"


def lost(then: Any, now: Any, path: str) -> list[str]:
    """Say what was there then and is not now, or is something else."""
    if _kind(then) != _kind(now):
        return [f"{path} was {_kind(then)} and is {_kind(now)}"]
    match then:
        case dict():
            return [
                why
                for key, inner in then.items()
                for why in ([f"{path}.{key} is gone"] if key not in now else lost(inner, now[key], f"{path}.{key}"))
            ]
        case list():
            return [why for at, (a, b) in enumerate(zip(then, now, strict=False)) for why in lost(a, b, f"{path}.{at}")]
        case _:
            return []


def _kind(value: Any) -> str:
    """Name a type of JSON, whose numbers are of one."""
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
