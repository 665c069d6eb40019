"""The form of every message about jobs, whatever carries it."""

from __future__ import annotations

from pydantic_core import to_json

from jobs import clock
from jobs.ids import EventId
from jobs.model import JSON


def encode(
    message_type: str,
    at: int,
    *,
    event_id: EventId | None = None,
    job: dict[str, JSON] | None = None,
    data: dict[str, JSON] | None = None,
) -> bytes:
    """Write a message as compact JSON, without what it does not have; ``at`` is milliseconds since the epoch."""
    fields = {"type": message_type, "id": event_id, "time": clock.iso(at), "job": job, "data": data}
    present = {name: value for name, value in fields.items() if value is not None}
    return to_json(present)
