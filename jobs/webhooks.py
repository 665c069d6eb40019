"""Webhooks: who wants to be told of what, and at which address."""

from __future__ import annotations

import base64
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from jobs import aws, clock, standing
from jobs.actions import failed_conditions
from jobs.errors import CloudUnavailable, TooManyWebhooks, WebhookNotFound
from jobs.events import EventType
from jobs.ids import UserId
from jobs.items import Item

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

MAX_WEBHOOKS: Final = 10
SECRET_BYTES: Final = 32
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
USUAL_EVENTS: Final = (EventType.COMPLETED, EventType.FAILED, EventType.CANCELED)
CACHE_SECONDS: Final = 10.0
"""So long another task may not know of a change."""
_EVENTS: Final = frozenset(EventType)
_CACHED_USERS: Final = 10_000
_COUNTER: Final = "#count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A user's wish to be told. ``created_at`` is milliseconds since the epoch; ``disabled_reason`` is a sentence."""

    webhook_id: str
    user_id: UserId
    # Neither may be read in a log: many an address is a secret by itself.
    url: str = field(repr=False)
    events: tuple[EventType, ...]
    secret: str = field(repr=False)
    created_at: int
    description: str | None = None
    disabled_reason: str | None = None

    @property
    def is_enabled(self) -> bool:
        """Tell whether anything is delivered."""
        return self.disabled_reason is None

    @property
    def host(self) -> str:
        """Whom a delivery calls."""
        return urlsplit(self.url).hostname or ""


def new_webhook(user_id: UserId, url: str, events: tuple[EventType, ...], description: str | None) -> Webhook:
    """Make a webhook with an id and a secret of its own."""
    return Webhook(
        webhook_id=f"wh_{clock.now_milliseconds():012x}{secrets.token_hex(8)}",
        user_id=user_id,
        url=url,
        events=events,
        secret=SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
        created_at=clock.now_milliseconds(),
        description=description,
    )


class WebhookTable:
    """Keeps webhooks, ten a user at most, and remembers for a few seconds who has which. All errors may be CloudUnavailable."""

    def __init__(self, client: DynamoDBClient, table: str, users_table: str) -> None:
        self._client = client
        self._table = table
        self._users_table = users_table
        self._cache: OrderedDict[UserId, tuple[float, tuple[Webhook, ...]]] = OrderedDict()

    async def add(self, webhook: Webhook, *, since: int | None = None) -> None:
        """Store a new webhook; ``since`` is when the caller was last known to be its owner, now unless told.

        Raises TooManyWebhooks, AccountErasing, AccountErased.
        """
        since = clock.now_milliseconds() if since is None else since
        put = {
            "TableName": self._table,
            "Item": _item(webhook),
            "ConditionExpression": "attribute_not_exists(webhookId)",
        }
        count = self._count(webhook.user_id, 1) | {
            "ConditionExpression": "attribute_not_exists(webhooks) OR webhooks < :most"
        }
        count["ExpressionAttributeValues"][":most"] = MAX_WEBHOOKS
        takes_in = standing.required(self._users_table, webhook.user_id, since)
        stored, counted, user = await self._transact({"Put": put}, {"Update": count}, takes_in)
        self._forget(webhook.user_id)
        if user is not None:
            standing.check(user, since)
        # The id is fresh, so one that is there already is our own: an attempt whose answer was lost has landed.
        if stored is None and counted is not None:
            raise TooManyWebhooks(MAX_WEBHOOKS)

    async def remove(self, webhook: Webhook) -> None:
        """Delete a webhook; one that is gone already is no error."""
        delete = {
            "TableName": self._table,
            "Key": _key(webhook.user_id, webhook.webhook_id),
            "ConditionExpression": "attribute_exists(webhookId)",
        }
        await self._transact({"Delete": delete}, {"Update": self._count(webhook.user_id, -1)})
        self._forget(webhook.user_id)

    async def get(self, user_id: UserId, webhook_id: str) -> Webhook:
        """Read a webhook of this user. Raises WebhookNotFound, also for another user's."""
        key = _key(user_id, webhook_id)
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        )
        if "url" not in response.get("Item", {}):
            raise WebhookNotFound
        return _webhook(response["Item"])

    async def of_user(self, user_id: UserId) -> tuple[Webhook, ...]:
        """Read the user's webhooks, oldest first."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "userId = :user AND begins_with(webhookId, :prefix)",
            "ExpressionAttributeValues": {":user": user_id, ":prefix": "wh_"},
            "ConsistentRead": True,
        }
        response = await aws.retrying(lambda: self._client.query(**query))
        return tuple(_webhook(item) for item in response["Items"])

    async def remembered(self, user_id: UserId) -> tuple[Webhook, ...]:
        """Return the user's webhooks as they were a few seconds ago at most; changes made here are seen at once."""
        read_at, webhooks = self._cache.get(user_id, (float("-inf"), ()))
        if time.monotonic() - read_at < CACHE_SECONDS:
            self._cache.move_to_end(user_id)
            return webhooks
        # Marked first: a change made during the read takes the mark away, and what was read is then not kept.
        mark = (float("-inf"), ())
        self._cache[user_id] = mark
        webhooks = await self.of_user(user_id)
        if self._cache.get(user_id) is mark:
            self._cache[user_id] = (time.monotonic(), webhooks)
            self._cache.move_to_end(user_id)
        if len(self._cache) > _CACHED_USERS:
            self._cache.popitem(last=False)
        return webhooks

    async def enable(self, webhook: Webhook) -> Webhook:
        """Let deliveries begin again. Raises WebhookNotFound."""
        await self._change(webhook, "REMOVE disabledReason", {})
        return replace(webhook, disabled_reason=None)

    async def disable(self, webhook: Webhook, reason: str) -> None:
        """End all deliveries; ``reason`` is a sentence for the owner. Raises WebhookNotFound."""
        await self._change(webhook, "SET disabledReason = :reason", {":reason": reason})

    async def _change(self, webhook: Webhook, expression: str, values: Mapping[str, str]) -> None:
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": _key(webhook.user_id, webhook.webhook_id),
            "UpdateExpression": expression,
            "ConditionExpression": "attribute_exists(webhookId)",
        }
        if values:
            update["ExpressionAttributeValues"] = values
        try:
            await aws.retrying(lambda: self._client.update_item(**update))
        except ClientError as error:
            if aws.error_code(error) == "ConditionalCheckFailedException":
                raise WebhookNotFound from error
            raise
        finally:
            self._forget(webhook.user_id)

    def _forget(self, user_id: UserId) -> None:
        self._cache.pop(user_id, None)

    def _count(self, user_id: UserId, delta: int) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": _key(user_id, _COUNTER),
            "UpdateExpression": "ADD webhooks :delta",
            "ExpressionAttributeValues": {":delta": delta},
        }

    async def _transact(self, *actions: dict[str, Any]) -> list[Item | None]:
        """Do all of it or nothing; returns for each action None, or what stood in its way."""

        async def once() -> list[Item | None]:
            try:
                await self._client.transact_write_items(TransactItems=cast(Any, list(actions)))
            except ClientError as error:
                obstacles = failed_conditions(error)
                if any(obstacle is not None for obstacle in obstacles):
                    return obstacles
                # What is left of a transaction's reasons is that others were at it, or too many.
                raise (CloudUnavailable() if obstacles else error) from error
            return [None for _ in actions]

        return await aws.retrying(once)


def _key(user_id: UserId, webhook_id: str) -> dict[str, str]:
    return {"userId": user_id, "webhookId": webhook_id}


def _item(webhook: Webhook) -> dict[str, Any]:
    item = {
        **_key(webhook.user_id, webhook.webhook_id),
        "url": webhook.url,
        "events": [event.value for event in webhook.events],
        "secret": webhook.secret,
        "createdAt": clock.iso(webhook.created_at),
        "description": webhook.description,
        "disabledReason": webhook.disabled_reason,
    }
    return {name: value for name, value in item.items() if value is not None}


def _webhook(item: Mapping[str, Any]) -> Webhook:
    return Webhook(
        webhook_id=item["webhookId"],
        user_id=UserId(item["userId"]),
        url=item["url"],
        # A newer task may know more of them; what this one does not know it has not to tell.
        events=tuple(EventType(name) for name in item["events"] if name in _EVENTS),
        secret=item["secret"],
        created_at=clock.milliseconds(item["createdAt"]),
        description=item.get("description"),
        disabled_reason=item.get("disabledReason"),
    )
