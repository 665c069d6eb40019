"""How notices travel between tasks: the sender's tag, a space, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

from jobs import items
from jobs.events import JobEvent, JobProgress, Notice, Stage, UserEvent, read_type
from jobs.ids import EventId, UserId
from jobs.model import Job


class Word(Enum):
    """What one task tells another besides notices."""

    MISSED = "missed"
    """Notices for this user could not be sent: the log has them."""


Heard: TypeAlias = Notice | Word
_write: Final[Callable[[object], str]] = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=items.number
).encode


def encode(tag: bytes, heard: Heard) -> bytes:
    """Write what is to be heard. Raises TypeError and ValueError for a job that is no JSON."""
    return tag + b" " + _write(_message(heard)).encode()


def is_tagged(tag: bytes, payload: bytes) -> bool:
    """Tell whether a payload was written with this tag, without reading it."""
    return payload.startswith(tag + b" ")


def decode(payload: bytes, user_id: UserId) -> Heard:
    """Read what was written for the user. Raises all sorts of errors for what was not: take any for unreadable."""
    message = json.loads(payload.partition(b" ")[2])
    if "word" in message:
        return Word(message["word"])
    if "about" in message:
        return _user_event(message, user_id)
    job = items.from_item(message["job"])
    if job.user_id != user_id:
        raise ValueError("The job is another user's")
    return _progress(message, job) if "stage" in message else _event(message, job)


def _message(heard: Heard) -> dict[str, Any]:
    match heard:
        case Word():
            return {"word": heard.value}
        case JobEvent():
            return {"id": heard.event_id, "type": heard.type, "at": heard.at, "job": items.to_item(heard.job)}
        case UserEvent():
            return {
                "id": heard.event_id,
                "type": heard.type,
                "at": heard.at,
                "about": heard.about,
                "data": dict(heard.data),
            }
        case JobProgress():
            return {
                "stage": heard.stage,
                "fraction": heard.fraction,
                "message": heard.message,
                "partial": dict(heard.partial),
                "at": heard.at,
                "job": items.to_item(heard.job),
            }


def _event(message: Mapping[str, Any], job: Job) -> JobEvent:
    return JobEvent(event_id=EventId(message["id"]), type=read_type(message["type"]), at=message["at"], job=job)


def _user_event(message: Mapping[str, Any], user_id: UserId) -> UserEvent:
    return UserEvent(
        event_id=EventId(message["id"]),
        user_id=user_id,
        type=message["type"],
        at=message["at"],
        about=message["about"],
        data=message["data"],
    )


def _progress(message: Mapping[str, Any], job: Job) -> JobProgress:
    return JobProgress(
        job=job,
        at=message["at"],
        stage=Stage(message["stage"]),
        fraction=message["fraction"],
        message=message["message"],
        partial=message.get("partial", {}),
    )
