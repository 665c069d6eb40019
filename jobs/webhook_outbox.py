"""The outbox of the webhooks: every committed event passes through it."""

from __future__ import annotations

import logging

from jobs import clock
from jobs.errors import CloudUnavailable
from jobs.events import Event, EventType, JobEvent
from jobs.webhook_queue import Order, WebhookQueue, delivery_id_of
from jobs.webhooks import Webhook, WebhookTable

logger = logging.getLogger(__name__)


class WebhookOutbox:
    """Turns events into orders for those who want to be told of them."""

    def __init__(self, table: WebhookTable, queue: WebhookQueue) -> None:
        self._table = table
        self._queue = queue

    async def offer(self, event: Event) -> None:
        """Order a delivery for each webhook of the job's owner that takes this event; a second time is no harm.

        What is no change of a job is not told so.

        Raises CloudUnavailable: then it is unknown which are ordered, and the caller should offer it once more.
        """
        if not isinstance(event, JobEvent):
            return
        try:
            webhooks = await self._table.remembered(event.job.user_id)
            orders = [_order(webhook, event) for webhook in webhooks if _takes(webhook, event.type)]
            await self._queue.send(orders)
        except CloudUnavailable:
            extra = {"action": "webhook_not_ordered", "job_id": event.job.job_id, "event_id": event.event_id}
            logger.warning("Webhooks could not be told of an event", extra=extra)
            raise


def _takes(webhook: Webhook, event_type: EventType) -> bool:
    return webhook.is_enabled and event_type in webhook.events


def _order(webhook: Webhook, event: JobEvent) -> Order:
    # One change has one id, however often it is told.
    change = f"{webhook.webhook_id}#{event.job.job_id}#{event.job.version}"
    return Order(
        user_id=webhook.user_id,
        webhook_id=webhook.webhook_id,
        delivery_id=delivery_id_of(event.job.updated_at, change),
        host=webhook.host,
        type=event.type.value,
        due=clock.now_milliseconds(),
        event_id=event.event_id,
        job_id=event.job.job_id,
        version=event.job.version,
    )
