"""A user's rows, walked through and taken away by the page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import ClientError

from jobs import aws, clock
from jobs.actions import usage_key
from jobs.errors import CloudUnavailable
from jobs.event_log import EventLog
from jobs.ids import UserId
from jobs.items import Item

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

_DELETES_AT_ONCE: Final = 25
_PATIENCE_SECONDS: Final = 10.0
_NO_INDEX: Final = ("ValidationException", "ResourceNotFoundException")


class Rows:
    """Walks through what a query finds, and deletes it. All errors: CloudUnavailable."""

    def __init__(self, client: DynamoDBClient) -> None:
        self._client = client

    async def pages(
        self, table: str, key: Mapping[str, str], *, index: str | None = None
    ) -> AsyncGenerator[list[Item], None]:
        """Walk through the rows that have this one attribute as the key of the table or the index, consistently if they can.

        An index that is not there, or is still being filled, is CloudUnavailable.
        """
        [(name, value)] = key.items()
        query: dict[str, Any] = {
            "TableName": table,
            "KeyConditionExpression": "#key = :value",
            "ExpressionAttributeNames": {"#key": name},
            "ExpressionAttributeValues": {":value": value},
            **({"IndexName": index} if index else {"ConsistentRead": True}),
        }
        while True:
            with _index_may_be_missing(index):
                response = await aws.retrying(lambda: self._client.query(**query))
            yield cast(list[Item], response["Items"])
            if "LastEvaluatedKey" not in response:
                return
            query["ExclusiveStartKey"] = response["LastEvaluatedKey"]

    async def sweep(
        self, table: str, key: Mapping[str, str], of: Sequence[str], *, index: str | None = None, but: str | None = None
    ) -> int:
        """Delete what ``pages`` walks through; ``of`` names the table's own key. Returns how many rows.

        A row whose partition key is ``but`` is left alone.
        """
        count = 0
        async for page in self.pages(table, key, index=index):
            keys = [{name: row[name] for name in of} for row in page if row[of[0]] != but]
            await self.delete(table, keys)
            count += len(keys)
        return count

    async def delete(self, table: str, keys: Iterable[Mapping[str, Any]]) -> None:
        """Delete rows that are there or not."""
        left = iter(keys)
        while some := list(islice(left, _DELETES_AT_ONCE)):
            await self._delete_some({table: [{"DeleteRequest": {"Key": key}} for key in some]})

    async def _delete_some(self, requests: Any) -> None:
        async def once() -> None:
            nonlocal requests
            response = await self._client.batch_write_item(RequestItems=requests)
            requests = response.get("UnprocessedItems")
            if requests:
                raise CloudUnavailable

        await aws.retrying(once, patience_seconds=_PATIENCE_SECONDS)


@contextmanager
def _index_may_be_missing(index: str | None) -> Iterator[None]:
    """Turn the refusal of a query, which is right but for its index, into CloudUnavailable: the tables may be changing just now."""
    try:
        yield
    except ClientError as error:
        if index is not None and aws.error_code(error) in _NO_INDEX:
            raise CloudUnavailable(f"The index {index} cannot be read yet.") from error
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTables:
    """Names of the tables whose rows are a user's and are of no use to others."""

    events: str
    usage: str
    webhooks: str
    deliveries: str


class AccountRows:
    """Finds and erases a user's events, days, webhooks and deliveries. All errors: CloudUnavailable."""

    def __init__(self, client: DynamoDBClient, tables: AccountTables) -> None:
        self._client = client
        self._rows = Rows(client)
        self._tables = tables
        self.log = EventLog(client, tables.events)

    async def days(self, user_id: UserId) -> AsyncIterator[Item]:
        """Walk through what the user has used, by day."""
        async for page in self._rows.pages(self._tables.usage, {"userId": user_id}, index="UserIdIndex"):
            for row in page:
                yield row

    async def erase_events(self, user_id: UserId) -> int:
        """Take the user's log away; returns how many events it had."""
        return await self._rows.sweep(self._tables.events, {"userId": user_id}, ("userId", "eventId"))

    async def erase_deliveries(self, webhook_id: str) -> None:
        """Take away what was delivered to a webhook."""
        await self._rows.sweep(self._tables.deliveries, {"webhookId": webhook_id}, ("webhookId", "deliveryId"))

    async def erase_webhook_rows(self, user_id: UserId) -> None:
        """Take away what is left when the webhooks are gone: their number."""
        await self._rows.sweep(self._tables.webhooks, {"userId": user_id}, ("userId", "webhookId"))

    async def erase_days(self, user_id: UserId) -> None:
        """Forget what was used on all days but this one, whose count ends with the next and is found by its key alone."""
        now = clock.now_milliseconds()
        today = usage_key(user_id, clock.utc_day(now))
        own = {"userId": user_id}
        await self._rows.sweep(self._tables.usage, own, ("userIdDate",), index="UserIdIndex", but=today)
        update: dict[str, Any] = {
            "TableName": self._tables.usage,
            "Key": {"userIdDate": today},
            "UpdateExpression": "SET #ttl = :end REMOVE userId, lastUpdated",
            "ConditionExpression": "attribute_exists(userIdDate)",
            "ExpressionAttributeNames": {"#ttl": "ttl"},
            "ExpressionAttributeValues": {":end": clock.next_utc_midnight(now) // 1000 + clock.DAY_SECONDS},
        }
        try:
            await aws.retrying(lambda: self._client.update_item(**update))
        except ClientError as error:
            if aws.error_code(error) != "ConditionalCheckFailedException":
                raise
