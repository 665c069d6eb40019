"""Where deliveries to webhooks are kept, and who may attempt next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from jobs import aws, clock
from jobs.errors import DeliveryNotFound, InvalidRequest
from jobs.ids import UserId
from jobs.webhook_deliveries import Delivery, DeliveryPage, DeliveryStatus, Settlement
from jobs.webhook_queue import DELIVERY_ID, Order

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

LIFE_DAYS: Final = 7
_RESERVED: Final = ("error", "status", "ttl", "type")
"""Attributes whose names DynamoDB's grammar has for itself."""


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
        # Nobody has begun with it, or with it again; or this very attempt is owed, and nobody is at it who still may.
        condition = (
            "attribute_not_exists(deliveryId) OR round < :round OR (#status = :status AND round = :round AND attempts = :attempts"
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

    async def give_back(self, order: Order, claim: str) -> None:
        """Let a claimed attempt be owed as before: it was not made."""
        key = _key(order.webhook_id, order.delivery_id)
        also = {":claim": claim, ":round": order.round}
        await self._update(key, {"leaseUntil": None}, condition="claim = :claim AND round = :round", also=also)

    async def begin_again(self, again: Delivery) -> Delivery:
        """Owe a delivery ``again``, whatever came of it; returns how it stands. Raises DeliveryNotFound."""
        now = clock.now_milliseconds()
        values = {
            "status": again.status.value,
            "round": again.round,
            "attempts": again.attempts,
            "nextAttemptAt": _iso_or_none(again.next_attempt_at),
            "ttl": _end_of_life(now),
            "leaseUntil": None,
            "claim": None,
        }
        key = _key(again.webhook_id, again.delivery_id)
        begun = await self._update(key, values, condition="round < :round", also={})
        # Where the condition fails, its order, another request or an earlier try of this one was faster: it has begun again.
        return again if begun else await self.get(again.webhook_id, again.delivery_id)

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
        clauses = {"SET": sets, "REMOVE": removes}
        expression = " ".join(f"{name} {', '.join(parts)}" for name, parts in clauses.items() if parts)
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
