"""The messages of ``darkroom.v1``: what the server writes, and what it understands."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from jobs import clock, conditions, views
from jobs.conditions import Degradation
from jobs.events import JobEvent, JobProgress
from jobs.ids import EventId
from jobs.model import JSON, Caller
from websocket.close_codes import CloseCode, Disconnect

PROTOCOL = "darkroom.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One message, encoded: the same ``content`` goes to every socket."""

    type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A user's jobs, newest first, and the day's quota, with the position in the event log they are no older than."""

    position: EventId | None
    jobs: list[dict[str, JSON]]
    has_more: bool
    quota: dict[str, JSON]


class Hello(BaseModel):
    """The first message of a client that could not send its token with the upgrade."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["hello"]
    token: SecretStr


class Ping(BaseModel):
    """Asks for a ``ping``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["ping"]


Inbound: TypeAlias = Hello | Ping
_INBOUND: TypeAdapter[Inbound] = TypeAdapter(Annotated[Inbound, Field(discriminator="type")])


def read(text: str) -> Inbound:
    """Understand a client's message. Raises Disconnect."""
    try:
        return _INBOUND.validate_json(text)
    except ValidationError:
        # The error quotes the message, which may hold a token: it goes neither to the log nor back.
        raise Disconnect(CloseCode.BAD_FRAME, "The message is not one this server understands") from None


def welcome(connection_id: str, caller: Caller, ping_seconds: float) -> Frame:
    """Greet a client that has signed in."""
    data: dict[str, JSON] = {
        "connectionId": connection_id,
        "userId": caller.user_id,
        "tokenExpiresAt": clock.iso(caller.expires_at * 1000),
        "pingSeconds": ping_seconds,
    }
    return _frame("welcome", clock.now_milliseconds(), data=data)


def snapshot(state: Snapshot) -> Frame:
    """Tell how things are; the client follows from its ``id``."""
    data: dict[str, JSON] = {"jobs": list(state.jobs), "hasMore": state.has_more, "quota": state.quota}
    return _frame("snapshot", clock.now_milliseconds(), event_id=state.position, data=data)


def job_event(event: JobEvent, view: dict[str, JSON]) -> Frame:
    """Tell of a job's visible change."""
    return _frame(event.type.value, event.at, event_id=event.event_id, job=view)


def job_progress(progress: JobProgress) -> Frame:
    """Tell how far a job is."""
    job: dict[str, JSON] = {
        "jobId": progress.job.job_id,
        "version": progress.job.version,
        "status": progress.job.status.value,
    }
    return _frame("job.progress", progress.at, job=job, data=views.progress_view(progress))


def ping(newest_id: EventId | None) -> Frame:
    """Show that the line is alive, and what the newest event is, so that a client sees a gap."""
    return _frame("ping", clock.now_milliseconds(), data={"newestId": newest_id})


def system_degraded(degradations: Iterable[Degradation]) -> Frame:
    """Tell everybody what is wrong with the service; nothing in it says that all is well again."""
    parts: list[JSON] = [conditions.view(degradation) for degradation in degradations]
    return _frame("system.degraded", clock.now_milliseconds(), data={"parts": parts})


def error(code: str, message: str) -> Frame:
    """Say what went wrong."""
    return _frame("error", clock.now_milliseconds(), data={"code": code, "message": message})


def _frame(
    message_type: str,
    at: int,
    *,
    event_id: EventId | None = None,
    job: dict[str, JSON] | None = None,
    data: dict[str, JSON] | None = None,
) -> Frame:
    fields = {"type": message_type, "id": event_id, "time": clock.iso(at), "job": job, "data": data}
    present = {name: value for name, value in fields.items() if value is not None}
    content = json.dumps(present, ensure_ascii=False, separators=(",", ":")).encode()
    return Frame(type=message_type, content=content)
