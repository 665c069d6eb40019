"""The messages of ``darkroom.v1``: what the server writes, and what it understands."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from jobs import clock, conditions, envelope, queue_place, views
from jobs.conditions import Degradation
from jobs.events import Event, EventType, JobProgress, UserEvent
from jobs.ids import EventId, JobId
from jobs.model import JSON, Caller, Quota, Status
from jobs.queue_place import QueuePlace
from websocket.close_codes import CloseCode, Disconnect

PROTOCOL = "darkroom.v1"
_FINAL_TEXT = 0x81
MAX_CURSOR_CHARACTERS = 100
Ref: TypeAlias = str | int | None
_ENDS = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELED, EventType.DELETED})


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One message, encoded: the same ``content`` goes to every client, over whatever transport.

    ``event_id`` is where a client resumes from after it, ``job_id`` whose it is; both are absent where there is none. One that
    ``is_of_user`` tells of the user, and neither of a job nor of the connection.
    """

    type: str
    content: bytes
    event_id: EventId | None = None
    job_id: JobId | None = None
    is_of_user: bool = False

    @cached_property
    def wire(self) -> bytes:
        """The whole WebSocket frame of RFC 6455: unmasked, final, text."""
        length = len(self.content)
        if length < 126:
            return struct.pack("!BB", _FINAL_TEXT, length) + self.content
        if length < 1 << 16:
            return struct.pack("!BBH", _FINAL_TEXT, 126, length) + self.content
        return struct.pack("!BBQ", _FINAL_TEXT, 127, length) + self.content

    @property
    def ends_job(self) -> bool:
        """Tell whether nothing can follow for its job."""
        return self.type in _ENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A user's jobs, newest first, and the day's quota, with the position in the event log they are no older than.

    A snapshot of one job alone has neither quota nor position.
    """

    position: EventId | None
    jobs: list[dict[str, JSON]]
    has_more: bool
    quota: dict[str, JSON]


class Hello(BaseModel):
    """The first message of a client that could not send its token with the upgrade."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["hello"]
    token: SecretStr
    since: str | None = Field(default=None, max_length=MAX_CURSOR_CHARACTERS)


class Resume(BaseModel):
    """Asks for what has happened since a cursor, once more if need be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["resume"]
    since: str = Field(max_length=MAX_CURSOR_CHARACTERS)


class Auth(BaseModel):
    """Brings a fresh token of the same user."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["auth"]
    token: SecretStr


class Cancel(BaseModel):
    """Cancels a job; ``ref`` comes back with the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    type: Literal["cancel"]
    job_id: str = Field(alias="jobId", min_length=1, max_length=100)
    ref: Annotated[str, Field(max_length=100)] | int | None = None


class Ping(BaseModel):
    """Asks for a ``ping``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["ping"]


Inbound: TypeAlias = Hello | Resume | Auth | Cancel | Ping
_INBOUND: TypeAdapter[Inbound] = TypeAdapter(Annotated[Inbound, Field(discriminator="type")])


def read(text: str) -> Inbound:
    """Understand a client's message. Raises Disconnect."""
    try:
        return _INBOUND.validate_json(text)
    except ValidationError:
        # The error quotes the message, which may hold a token: it goes neither to the log nor back.
        raise Disconnect(CloseCode.BAD_FRAME, "The message is not one this server understands") from None


def welcome(connection_id: str | None, caller: Caller, ping_seconds: float) -> Frame:
    """Greet a client that has signed in; streams have no id."""
    data: dict[str, JSON] = {
        "userId": caller.user_id,
        "tokenExpiresAt": _expiry(caller),
        "pingSeconds": ping_seconds,
    }
    if connection_id is not None:
        data["connectionId"] = connection_id
    return _frame("welcome", clock.now_milliseconds(), data=data)


def snapshot(state: Snapshot) -> Frame:
    """Tell how things are; the client follows from its ``id``."""
    data: dict[str, JSON] = {"jobs": list(state.jobs), "hasMore": state.has_more}
    if state.quota:
        data["quota"] = state.quota
    return _frame("snapshot", clock.now_milliseconds(), event_id=state.position, data=data)


def event(event: Event, told: dict[str, JSON], *, is_next: bool = True) -> Frame:
    """Tell of what has happened: ``told`` is the job after it, or the data of an event that is no change of a job.

    Without its id, unless it ``is_next``: where one before it may be missing, nobody may leave off after it.
    """
    event_id = event.event_id if is_next else None
    if isinstance(event, UserEvent):
        return _frame(event.type, event.at, event_id=event_id, data=told, is_of_user=True)
    return _frame(str(event.type), event.at, event_id=event_id, job_id=event.job.job_id, job=told)


def job_progress(progress: JobProgress) -> Frame:
    """Tell how far a job is."""
    job: dict[str, JSON] = {
        "jobId": progress.job.job_id,
        "version": progress.job.version,
        "status": progress.job.status.value,
    }
    data = views.progress_view(progress)
    return _frame("job.progress", progress.at, job_id=progress.job.job_id, job=job, data=data)


def job_place(told: QueuePlace) -> Frame:
    """Tell where a queued job stands."""
    job: dict[str, JSON] = {
        "jobId": told.job_id,
        "version": told.version,
        "status": Status.QUEUED.value,
        "queue": queue_place.view(told.place),
    }
    data: dict[str, JSON] = {"stage": "queued", "fraction": 0, "message": told.place.message}
    return _frame("job.progress", told.at, job_id=told.job_id, job=job, data=data)


def quota(quota: Quota) -> Frame:
    """Tell what is left of the user's day."""
    return _frame("quota", clock.now_milliseconds(), data=views.quota_view(quota), is_of_user=True)


def ping(newest_id: EventId | None) -> Frame:
    """Show that the line is alive, and what the newest event is, so that a client sees a gap."""
    return _frame("ping", clock.now_milliseconds(), data={"newestId": newest_id})


def system_degraded(degradations: Iterable[Degradation]) -> Frame:
    """Tell everybody what is wrong with the service; nothing in it says that all is well again."""
    parts: list[JSON] = [conditions.view(degradation) for degradation in degradations]
    return _frame("system.degraded", clock.now_milliseconds(), data={"parts": parts})


def resync(reason: str) -> Frame:
    """Say that what was missed cannot be told: a ``snapshot`` follows, which replaces all that the client knows."""
    return _frame("resync", clock.now_milliseconds(), data={"reason": reason})


def auth_expiring(caller: Caller) -> Frame:
    """Ask for a fresh token before this one has expired."""
    return _frame("auth.expiring", clock.now_milliseconds(), data={"tokenExpiresAt": _expiry(caller)})


def auth_ok(caller: Caller) -> Frame:
    """Say that the fresh token is taken."""
    return _frame("auth.ok", clock.now_milliseconds(), data={"tokenExpiresAt": _expiry(caller)})


def cancel_ok(ref: Ref, result: dict[str, JSON]) -> Frame:
    """Answer a ``cancel``: what it came to and what was given back."""
    return _frame("cancel.ok", clock.now_milliseconds(), data={"ref": ref, **result})


def reconnect(after_milliseconds: int) -> Frame:
    """Ask the client to open another connection so much later, and to leave this one when it has it."""
    return _frame("reconnect", clock.now_milliseconds(), data={"afterMs": after_milliseconds})


def error(code: str, message: str, ref: Ref = None) -> Frame:
    """Say what went wrong; ``ref`` is that of the message which it answers."""
    data: dict[str, JSON] = {"code": code, "message": message}
    return _frame("error", clock.now_milliseconds(), data=data if ref is None else data | {"ref": ref})


def _frame(
    message_type: str,
    at: int,
    *,
    event_id: EventId | None = None,
    job_id: JobId | None = None,
    job: dict[str, JSON] | None = None,
    data: dict[str, JSON] | None = None,
    is_of_user: bool = False,
) -> Frame:
    content = envelope.encode(message_type, at, event_id=event_id, job=job, data=data)
    return Frame(type=message_type, content=content, event_id=event_id, job_id=job_id, is_of_user=is_of_user)


def _expiry(caller: Caller) -> str:
    return clock.iso(caller.expires_at * 1000)
