"""The change that a delivery tells of, read from the log when it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs import aws, clock, items
from jobs.ids import EventId, UserId
from jobs.model import Job

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedChange:
    """A job as it was right after a change, and when that was, in milliseconds since the epoch."""

    at: int
    job: Job


class LoggedChanges:
    """Reads single changes from the log, whatever type a newer task may have given them. All errors: CloudUnavailable."""

    def __init__(self, client: DynamoDBClient, events_table: str) -> None:
        self._client = client
        self._table = events_table

    async def find(self, user_id: UserId, event_id: EventId) -> LoggedChange | None:
        """Read what this event of the user tells of; None when it is no longer kept."""
        key = {"userId": user_id, "eventId": event_id}
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        )
        item: Mapping[str, Any] = response.get("Item", {})
        if not item:
            return None
        return LoggedChange(at=clock.milliseconds(item["time"]), job=items.from_item(item["job"]))
