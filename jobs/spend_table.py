"""What the models have cost, by day: one row for all tasks together, among the usage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from jobs import aws, clock

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

SPEND_LIFE_DAYS: Final = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What some calls cost, in millionths of a US dollar, and what for."""

    microdollars: int = 0
    pictures: int = 0
    tokens: int = 0

    def __add__(self, other: Spend) -> Spend:
        """Return both together."""
        return Spend(
            microdollars=self.microdollars + other.microdollars,
            pictures=self.pictures + other.pictures,
            tokens=self.tokens + other.tokens,
        )


class SpendTable:
    """Adds up what a day costs. All errors of the network: CloudUnavailable."""

    def __init__(self, client: DynamoDBClient, usage_table: str) -> None:
        self._client = client
        self._table = usage_table

    async def add(self, day: str, spend: Spend) -> int:
        """Add to the UTC day (``2026-11-20``); returns the microdollars of all tasks on it.

        An attempt whose answer was lost is counted again: the sum may be too high then, never too low.
        """
        answer = await aws.retrying(
            lambda: self._client.update_item(
                TableName=self._table,
                Key={"userIdDate": _key(day)},
                UpdateExpression="ADD microdollars :microdollars, pictures :pictures, #tokens :tokens "
                "SET #date = :day, #ttl = :end",
                ExpressionAttributeNames={"#tokens": "tokens", "#date": "date", "#ttl": "ttl"},
                ExpressionAttributeValues={
                    ":microdollars": spend.microdollars,
                    ":pictures": spend.pictures,
                    ":tokens": spend.tokens,
                    ":day": day,
                    ":end": clock.milliseconds(f"{day}T00:00:00Z") // 1000 + SPEND_LIFE_DAYS * clock.DAY_SECONDS,
                },
                ReturnValues="UPDATED_NEW",
            )
        )
        return int(cast(Any, answer["Attributes"]["microdollars"]))

    async def total(self, day: str) -> int:
        """Read the microdollars of all tasks on the UTC day."""
        answer = await aws.retrying(
            lambda: self._client.get_item(TableName=self._table, Key={"userIdDate": _key(day)}, ConsistentRead=True)
        )
        return int(cast(Any, answer.get("Item", {}).get("microdollars", 0)))


def _key(day: str) -> str:
    # No user id can be this: they are UUIDs. Without a userId attribute the row is in no index.
    return f"spend#{day}"
