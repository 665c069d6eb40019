"""A user's event log, read from where a client has left off."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from jobs import aws, clock, items
from jobs.actions import EVENT_LIFE_DAYS
from jobs.errors import CursorUnknown
from jobs.events import Event, JobEvent, UserEvent, read_type
from jobs.ids import EventId, UserId
from jobs.model import JSON

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

OVERLAP_SECONDS: Final = 10
"""The longest silent commit and the clocks' difference: so far behind a reader's newest event another may still appear."""
_PAGE: Final = 100
_AHEAD_SECONDS: Final = 60
_CURSOR: Final = re.compile(r"([0-9a-f]{28})(?:\.([0-9a-f]{16}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a reader is: the newest event it has seen, and a digest of all it has seen in the overlap before that one.

    Opaque to clients. An event's id alone is a cursor too: its reader is told the overlap once more.
    """

    event_id: EventId
    digest: str = ""

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Read what ``str`` wrote. Raises CursorUnknown, also for one that is older than the log, or from the future."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise CursorUnknown
        cursor = cls(event_id=EventId(match[1]), digest=match[2] or "")
        age_seconds = (clock.now_milliseconds() - int(text[:12], 16)) / 1000
        if not -_AHEAD_SECONDS < age_seconds < EVENT_LIFE_DAYS * clock.DAY_SECONDS:
            raise CursorUnknown
        return cursor

    @classmethod
    def at(cls, milliseconds: int) -> Cursor:
        """Return the cursor of a reader that begins at a moment, in milliseconds since the epoch."""
        return cls(event_id=EventId(f"{max(0, milliseconds):012x}{0:016x}"))

    @classmethod
    def after(cls, seen: Iterable[EventId], cursor: Cursor) -> Cursor:
        """Return the cursor of a reader at ``cursor`` that has just been given these events, its overlap among them."""
        ids = set(seen)
        newest = max(ids | {cursor.event_id})
        overlap = sorted(event_id for event_id in ids if event_id >= _overlap_start(newest))
        return cls(event_id=newest, digest=hashlib.sha256("".join(overlap).encode()).hexdigest()[:16])

    @property
    def overlap_start(self) -> EventId:
        """Where a reader begins anew, so that it misses nothing."""
        return _overlap_start(self.event_id)

    def __str__(self) -> str:
        """Write it for a client."""
        return f"{self.event_id}.{self.digest}" if self.digest else self.event_id


class EventLog:
    """Reads the log in the order of the events' ids, always consistently. All errors: CloudUnavailable."""

    def __init__(self, client: DynamoDBClient, events_table: str) -> None:
        self._client = client
        self._table = events_table

    async def newest_id(self, user_id: UserId) -> EventId | None:
        """Return the id of the user's newest event."""
        query = self._query(user_id, "userId = :user", {}) | {"ScanIndexForward": False, "Limit": 1}
        query["ProjectionExpression"] = "eventId"
        response = await aws.retrying(lambda: self._client.query(**query))
        return next((EventId(str(item["eventId"])) for item in response["Items"]), None)

    async def since(self, user_id: UserId, cursor: Cursor) -> AsyncIterator[Event]:
        """Walk through the user's events from the cursor's overlap on, oldest first."""
        query = self._query(user_id, "userId = :user AND eventId >= :start", {":start": cursor.overlap_start})
        while True:
            response = await aws.retrying(lambda: self._client.query(**query))
            for item in response["Items"]:
                yield _event(item)
            if "LastEvaluatedKey" not in response:
                return
            query["ExclusiveStartKey"] = response["LastEvaluatedKey"]

    def _query(self, user_id: UserId, condition: str, values: Mapping[str, object]) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": {":user": user_id, **values},
            "ConsistentRead": True,
            "Limit": _PAGE,
        }


def is_moment(event_id: EventId) -> bool:
    """Tell whether this is no event's id, but that of ``Cursor.at``."""
    return event_id.endswith("0" * 16)


def _overlap_start(event_id: EventId) -> EventId:
    start = max(0, int(event_id[:12], 16) - OVERLAP_SECONDS * 1000)
    return EventId(f"{start:012x}")


def _event(item: Mapping[str, Any]) -> Event:
    if "job" not in item:
        return UserEvent(
            event_id=EventId(item["eventId"]),
            user_id=UserId(item["userId"]),
            type=item["type"],
            at=clock.milliseconds(item["time"]),
            about=item["about"],
            data=cast(dict[str, JSON], items.plain(item["data"])),
        )
    return JobEvent(
        event_id=EventId(item["eventId"]),
        type=read_type(item["type"]),
        at=clock.milliseconds(item["time"]),
        job=items.from_item(cast(Mapping[str, Any], item["job"])),
    )
