"""Deliveries to webhooks: what was attempted, what came of it, and who may attempt next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from jobs import aws, clock, items
from jobs.errors import DeliveryNotFound, InvalidRequest
from jobs.events import EventType, JobEvent
from jobs.ids import EventId, JobId, UserId
from jobs.webhook_queue import DELIVERY_ID, Order, created_at

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

LIFE_DAYS: Final = 7
_RESERVED: Final = ("error", "status", "ttl", "type")
"""Attributes whose names DynamoDB's grammar has for itself."""


class DeliveryStatus(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One change of one job, owed to one webhook. Times are milliseconds since the epoch.

    ``attempts`` counts the ended ones of this ``round``; ``error`` is a sentence on the last. ``claim`` is whose attempt is
    or was the last, ``lease_until`` how long that one may take.
    """

    webhook_id: str
    delivery_id: str
    user_id: UserId
    type: str
    host: str
    status: DeliveryStatus = DeliveryStatus.PENDING
    round: int = 0
    attempts: int = 0
    event_id: EventId | None = None
    job_id: JobId | None = None
    version: int = 0
    last_attempt_at: int | None = None
    next_attempt_at: int | None = None
    status_code: int | None = None
    error: str | None = None
    claim: str | None = None
    lease_until: int | None = None

    @property
    def created_at(self) -> int:
        """When what it tells of happened."""
        return created_at(self.delivery_id)

    def is_busy(self, now: int) -> bool:
        """Tell whether an attempt is under way."""
        return self.lease_until is not None and now < self.lease_until

    def order(self, due: int) -> Order:
        """Return the order of its next attempt."""
        return Order(
            user_id=self.user_id,
            webhook_id=self.webhook_id,
            delivery_id=self.delivery_id,
            host=self.host,
            type=self.type,
            due=due,
            event_id=self.event_id,
            job_id=self.job_id,
            version=self.version,
            round=self.round,
            attempt=self.attempts,
        )

    def owes_after(self, order: Order) -> Order | None:
        """Return the order that should follow a done one: whoever did it may have died before ordering the next."""
        is_next = self.status is DeliveryStatus.PENDING and self.round == order.round and self.attempts > order.attempt
        return self.order(self.next_attempt_at or self.created_at) if is_next else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What came of an attempt. ``next_attempt_at`` is there while the delivery is pending."""

    status: DeliveryStatus
    ended_at: int
    next_attempt_at: int | None = None
    status_code: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPage:
    """Deliveries of one webhook, newest first; ``cursor`` leads to the next page and is absent on the last."""

    deliveries: tuple[Delivery, ...]
    cursor: str | None


class DeliveryTable:
    """Keeps deliveries for a week. All errors may be CloudUnavailable."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    async def claim(self, order: Order, claim: str, lease_until: int) -> Delivery | None:
        """Take the attempt that is ordered; returns what stands in the way, if it was made or is being made already.

        The same ``claim`` may be put in twice.
        """
        now = clock.now_milliseconds()
        values = _present(_first_item(order, now)) | {"claim": claim, "leaseUntil": lease_until}
        # Nobody has begun with it; or this very attempt is owed, and nobody is at it who still may.
        condition = (
            "attribute_not_exists(deliveryId) OR (#status = :status AND round = :round AND attempts = :attempts"
            " AND (claim = :claim OR attribute_not_exists(leaseUntil) OR leaseUntil < :now))"
        )
        key = _key(order.webhook_id, order.delivery_id)
        while not await self._update(key, values, condition=condition, also={":now": now}):
            standing = await self._find(order.webhook_id, order.delivery_id)
            if standing is not None:
                return standing
        return None

    async def settle(self, order: Order, claim: str, settlement: Settlement) -> bool:
        """Write down what came of a claimed attempt; returns False when it is somebody else's by now."""
        values = {
            "status": settlement.status.value,
            "attempts": order.attempt + 1,
            "lastAttemptAt": clock.iso(settlement.ended_at),
            "nextAttemptAt": _iso_or_none(settlement.next_attempt_at),
            "statusCode": settlement.status_code,
            "error": settlement.error,
            "leaseUntil": None,
        }
        key = _key(order.webhook_id, order.delivery_id)
        condition = "claim = :claim AND round = :round"
        return await self._update(key, values, condition=condition, also={":claim": claim, ":round": order.round})

    async def begin_again(self, delivery: Delivery) -> Delivery:
        """Owe a delivery once more from its first attempt on, whatever came of it. Raises DeliveryNotFound."""
        now = clock.now_milliseconds()
        again = replace(
            delivery,
            status=DeliveryStatus.PENDING,
            round=delivery.round + 1,
            attempts=0,
            next_attempt_at=now,
            lease_until=None,
        )
        values = {
            "status": again.status.value,
            "round": again.round,
            "attempts": 0,
            "nextAttemptAt": clock.iso(now),
            "ttl": _end_of_life(now),
            "leaseUntil": None,
            "claim": None,
        }
        key = _key(delivery.webhook_id, delivery.delivery_id)
        begun = await self._update(key, values, condition="round = :before", also={":before": delivery.round})
        # Where the condition fails, another request or an earlier try of this one was faster: it has begun again.
        return again if begun else await self.get(delivery.webhook_id, delivery.delivery_id)

    async def get(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Read a delivery. Raises DeliveryNotFound."""
        delivery = await self._find(webhook_id, delivery_id)
        if delivery is None:
            raise DeliveryNotFound
        return delivery

    async def page(self, webhook_id: str, *, limit: int, cursor: str | None) -> DeliveryPage:
        """Read a webhook's deliveries, newest first. Raises InvalidRequest for a cursor that is not ours."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "webhookId = :webhook",
            "ExpressionAttributeValues": {":webhook": webhook_id},
            "ScanIndexForward": False,
            "Limit": limit,
            "ConsistentRead": True,
        }
        if cursor is not None:
            if not DELIVERY_ID.fullmatch(cursor):
                raise InvalidRequest("The cursor is not one of ours", field="cursor")
            query["ExclusiveStartKey"] = _key(webhook_id, cursor)
        response = await aws.retrying(lambda: self._client.query(**query))
        last: Mapping[str, Any] = response.get("LastEvaluatedKey", {})
        return DeliveryPage(
            deliveries=tuple(_delivery(item) for item in response["Items"]), cursor=last.get("deliveryId")
        )

    async def _find(self, webhook_id: str, delivery_id: str) -> Delivery | None:
        key = _key(webhook_id, delivery_id)
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        )
        return _delivery(response["Item"]) if "Item" in response else None

    async def _update(
        self, key: Mapping[str, str], values: Mapping[str, Any], *, condition: str, also: Mapping[str, Any]
    ) -> bool:
        """Set the values, remove where one is None, if the condition holds; returns whether it did.

        The condition may use every value under its name, and those of ``also``.
        """
        sets = [f"{_alias(name)} = :{name}" for name, value in values.items() if value is not None]
        removes = [_alias(name) for name, value in values.items() if value is None]
        expression = f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else "")
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": key,
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": {
                **{f":{name}": value for name, value in _present(values).items()},
                **also,
            },
        }
        names = {f"#{name}": name for name in _RESERVED if f"#{name}" in expression + condition}
        if names:
            update["ExpressionAttributeNames"] = names
        try:
            await aws.retrying(lambda: self._client.update_item(**update))
        except ClientError as error:
            if aws.error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True


class LoggedEvents:
    """Reads single events of the log. All errors: CloudUnavailable."""

    def __init__(self, client: DynamoDBClient, events_table: str) -> None:
        self._client = client
        self._table = events_table

    async def find(self, user_id: UserId, event_id: EventId) -> JobEvent | None:
        """Read an event of the user; None when it is no longer kept."""
        key = {"userId": user_id, "eventId": event_id}
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        )
        item: Mapping[str, Any] = response.get("Item", {})
        if not item:
            return None
        return JobEvent(
            event_id=event_id,
            type=EventType(item["type"]),
            at=clock.milliseconds(item["time"]),
            job=items.from_item(item["job"]),
        )


def _key(webhook_id: str, delivery_id: str) -> dict[str, str]:
    return {"webhookId": webhook_id, "deliveryId": delivery_id}


def _alias(name: str) -> str:
    return f"#{name}" if name in _RESERVED else name


def _first_item(order: Order, now: int) -> dict[str, Any]:
    return {
        "status": DeliveryStatus.PENDING.value,
        "round": order.round,
        "attempts": order.attempt,
        "userId": order.user_id,
        "type": order.type,
        "host": order.host,
        "eventId": order.event_id,
        "jobId": order.job_id,
        "version": order.version,
        "ttl": _end_of_life(now),
    }


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _end_of_life(now: int) -> int:
    return now // 1000 + LIFE_DAYS * clock.DAY_SECONDS


def _iso_or_none(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else clock.iso(milliseconds)


def _milliseconds_or_none(text: str | None) -> int | None:
    return None if text is None else clock.milliseconds(text)


def _delivery(item: Mapping[str, Any]) -> Delivery:
    return Delivery(
        webhook_id=item["webhookId"],
        delivery_id=item["deliveryId"],
        user_id=UserId(item["userId"]),
        type=item["type"],
        host=item["host"],
        status=DeliveryStatus(item["status"]),
        round=int(item["round"]),
        attempts=int(item["attempts"]),
        event_id=item.get("eventId"),
        job_id=item.get("jobId"),
        version=int(item["version"]),
        last_attempt_at=_milliseconds_or_none(item.get("lastAttemptAt")),
        next_attempt_at=_milliseconds_or_none(item.get("nextAttemptAt")),
        status_code=int(item["statusCode"]) if "statusCode" in item else None,
        error=item.get("error"),
        claim=item.get("claim"),
        lease_until=int(item["leaseUntil"]) if "leaseUntil" in item else None,
    )
