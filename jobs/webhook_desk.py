"""What an owner may do with webhooks."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from jobs import clock
from jobs.errors import WebhookDisabled
from jobs.events import EventType
from jobs.ids import UserId
from jobs.webhook_deliveries import Delivery, DeliveryPage
from jobs.webhook_delivery_table import DeliveryTable
from jobs.webhook_queue import Order, WebhookQueue, delivery_id_of
from jobs.webhooks import USUAL_EVENTS, Webhook, WebhookTable, new_webhook

TEST_EVENT = "webhook.test"


class WebhookDesk:
    """Registers webhooks and shows what came of their deliveries. All errors may be CloudUnavailable.

    ``check`` raises InvalidRequest for an address that must not be called. Another user's webhook is WebhookNotFound.
    """

    def __init__(
        self,
        table: WebhookTable,
        deliveries: DeliveryTable,
        queue: WebhookQueue,
        check: Callable[[str, UserId], Awaitable[None]],
    ) -> None:
        self._table = table
        self._deliveries = deliveries
        self._queue = queue
        self._check = check

    async def register(
        self,
        user_id: UserId,
        url: str,
        *,
        events: tuple[EventType, ...] | None,
        description: str | None,
        since: int | None = None,
    ) -> Webhook:
        """Store a webhook, for the ends of jobs unless told. Raises InvalidRequest, and what ``WebhookTable.add`` raises."""
        await self._check(url, user_id)
        webhook = new_webhook(user_id, url, events or USUAL_EVENTS, description)
        await self._table.add(webhook, since=since)
        return webhook

    async def of_user(self, user_id: UserId) -> tuple[Webhook, ...]:
        """Return the user's webhooks, oldest first."""
        return await self._table.of_user(user_id)

    async def find(self, user_id: UserId, webhook_id: str) -> Webhook:
        """Return a webhook. Raises WebhookNotFound."""
        return await self._table.get(user_id, webhook_id)

    async def remove(self, user_id: UserId, webhook_id: str) -> None:
        """Delete a webhook; what is not delivered yet never will be. Raises WebhookNotFound."""
        await self._table.remove(await self.find(user_id, webhook_id))

    async def enable(self, user_id: UserId, webhook_id: str) -> Webhook:
        """Begin again to deliver to a webhook that was disabled. Raises WebhookNotFound and InvalidRequest."""
        webhook = await self.find(user_id, webhook_id)
        await self._check(webhook.url, user_id)
        return await self._table.enable(webhook)

    async def test(self, user_id: UserId, webhook_id: str) -> str:
        """Order the delivery of a test event and return its id. Raises WebhookNotFound and WebhookDisabled."""
        webhook = await self._find_enabled(user_id, webhook_id)
        now = clock.now_milliseconds()
        order = Order(
            user_id=user_id,
            webhook_id=webhook_id,
            delivery_id=delivery_id_of(now, secrets.token_hex(16)),
            host=webhook.host,
            type=TEST_EVENT,
            due=now,
        )
        await self._queue.send([order])
        return order.delivery_id

    async def deliveries(self, user_id: UserId, webhook_id: str, *, limit: int, cursor: str | None) -> DeliveryPage:
        """Return the webhook's deliveries, newest first. Raises WebhookNotFound and InvalidRequest."""
        await self.find(user_id, webhook_id)
        return await self._deliveries.page(webhook_id, limit=limit, cursor=cursor)

    async def redeliver(self, user_id: UserId, webhook_id: str, delivery_id: str) -> Delivery:
        """Order a delivery once more, under its own id. Raises WebhookNotFound, WebhookDisabled, DeliveryNotFound."""
        await self._find_enabled(user_id, webhook_id)
        delivery = await self._deliveries.get(webhook_id, delivery_id)
        now = clock.now_milliseconds()
        again = delivery.again(now)
        # The order first: the list must not speak of a delivery that nobody will make.
        await self._queue.send([again.order(now)])
        return await self._deliveries.begin_again(again)

    async def _find_enabled(self, user_id: UserId, webhook_id: str) -> Webhook:
        webhook = await self.find(user_id, webhook_id)
        if not webhook.is_enabled:
            raise WebhookDisabled
        return webhook
