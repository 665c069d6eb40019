"""Carrying out one order: claim the attempt, call the endpoint, write down what came of it, order the next."""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

from consumers.webhook_lookups import LookupsFull
from consumers.webhook_sender import Answer, WebhookSender
from jobs import clock, envelope
from jobs.errors import WebhookNotFound
from jobs.model import JSON, Job
from jobs.webhook_deliveries import DeliveryStatus, Settlement
from jobs.webhook_delivery_table import DeliveryTable
from jobs.webhook_events import LoggedChanges
from jobs.webhook_queue import Order, WebhookQueue
from jobs.webhooks import Webhook, WebhookTable

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = (5, 60, 300, 1800, 7200, 18_000, 36_000)
"""How long to wait after each failed attempt; after the last, the delivery has failed."""
LEASE_SECONDS: Final = 40
"""So long an attempt is nobody else's; longer than it can take, shorter than its message stays hidden."""
_BROKEN: Final = Answer(error="The attempt was broken off on our side, more than once")


class Outcome(StrEnum):
    """What became of an order that was received."""

    DELIVERED = "delivered"
    RETRYING = "retrying"
    FAILED = "failed"
    DROPPED = "dropped"
    """The webhook is gone, or another has made this attempt."""
    BUSY = "busy"
    """Another is making it, and may die of it."""
    EARLY = "early"
    TURNED_AWAY = "turned_away"
    UNRESOLVED = "unresolved"
    """Too many names are being looked up: the endpoint was not called."""
    PUT_OFF = "put_off"
    BROKE = "broke"


_OUTCOMES: Final = {
    DeliveryStatus.DELIVERED: Outcome.DELIVERED,
    DeliveryStatus.PENDING: Outcome.RETRYING,
    DeliveryStatus.FAILED: Outcome.FAILED,
}


class Courier:
    """Carries out one order. Another task may have a copy of it: whoever claims the attempt makes it."""

    def __init__(
        self,
        table: WebhookTable,
        deliveries: DeliveryTable,
        queue: WebhookQueue,
        changes: LoggedChanges,
        view: Callable[[Job], Awaitable[dict[str, JSON]]],
        sender: WebhookSender,
        *,
        retry_scale: float,
    ) -> None:
        self._table = table
        self._deliveries = deliveries
        self._queue = queue
        self._changes = changes
        self._view = view
        self._sender = sender
        self._retry_scale = retry_scale

    async def carry_out(self, order: Order, *, is_broken: bool = False) -> Outcome:
        """Make the attempt, write down what came of it and order the next. Raises CloudUnavailable.

        One that ``is_broken`` has been begun too often without an end: it is not made any more, and has failed.
        """
        try:
            webhook = await self._table.get(order.user_id, order.webhook_id)
        except WebhookNotFound:
            return Outcome.DROPPED
        now, claim = clock.now_milliseconds(), secrets.token_hex(8)
        standing = await self._deliveries.claim(order, claim, now + LEASE_SECONDS * 1000)
        if standing is None:
            return await self._attempt(webhook, order, claim, is_broken=is_broken)
        if standing.is_busy(now):
            return Outcome.BUSY
        follow_up = standing.owes_after(order)
        if follow_up is not None:
            await self._queue.send([follow_up])
        return Outcome.DROPPED

    async def _attempt(self, webhook: Webhook, order: Order, claim: str, *, is_broken: bool) -> Outcome:
        try:
            answer, is_last = (_BROKEN, False) if is_broken else await self._call(webhook, order)
        except LookupsFull:
            await self._deliveries.give_back(order, claim)
            return Outcome.UNRESOLVED
        settlement = settle(answer, order.attempt, is_last=is_last or answer.is_gone, retry_scale=self._retry_scale)
        extra = {"action": f"webhook_{settlement.status.value}", **about(order), "status_code": answer.status_code}
        logger.info("An attempt to deliver has ended", extra=extra)
        if answer.is_gone:
            await self._disable(webhook)
        is_ours = await self._deliveries.settle(order, claim, settlement)
        if is_ours and settlement.next_attempt_at is not None:
            again = order.model_copy(
                update={"attempt": order.attempt + 1, "due": settlement.next_attempt_at, "turned_away": 0}
            )
            await self._queue.send([again])
        return _OUTCOMES[settlement.status]

    async def _call(self, webhook: Webhook, order: Order) -> tuple[Answer, bool]:
        """Call the endpoint; returns what it said, and whether no other attempt makes sense."""
        if not webhook.is_enabled:
            return Answer(error="The webhook is disabled"), True
        body = await self._body(order)
        if body is None:
            logger.warning("An event is no longer kept", extra={"action": "webhook_event_gone", **about(order)})
            return Answer(error="The event is no longer kept"), True
        return await self._sender.send(webhook, order.delivery_id, body), False

    async def _body(self, order: Order) -> bytes | None:
        if order.event_id is None:
            return envelope.encode(order.type, order.created_at, data={"webhookId": order.webhook_id})
        change = await self._changes.find(order.user_id, order.event_id)
        if change is None:
            return None
        return envelope.encode(order.type, change.at, event_id=order.event_id, job=await self._view(change.job))

    async def _disable(self, webhook: Webhook) -> None:
        logger.info("A webhook was disabled", extra={"action": "webhook_disabled", "webhook_id": webhook.webhook_id})
        try:
            await self._table.disable(webhook, "The endpoint answered 410: it wants no more deliveries")
        except WebhookNotFound:
            return  # its owner was faster


def settle(answer: Answer, attempt: int, *, is_last: bool, retry_scale: float = 1.0) -> Settlement:
    """Decide what follows from the answer to an attempt that had ``attempt`` others before it."""
    now = clock.now_milliseconds()
    if answer.is_taken:
        return Settlement(status=DeliveryStatus.DELIVERED, ended_at=now, status_code=answer.status_code)
    is_last = is_last or attempt >= len(RETRY_SECONDS)
    wait = 0.0 if is_last else RETRY_SECONDS[attempt] * retry_scale * jitter(0.1)
    return Settlement(
        status=DeliveryStatus.FAILED if is_last else DeliveryStatus.PENDING,
        ended_at=now,
        next_attempt_at=None if is_last else now + round(wait * 1000),
        status_code=answer.status_code,
        error=answer.error,
    )


def jitter(share: float) -> float:
    """Return a random factor around 1, up to ``share`` away from it."""
    return random.uniform(1 - share, 1 + share)  # noqa: S311 - jitter is no secret


def about(order: Order) -> dict[str, object]:
    """Return what a log line says of an order."""
    return {
        "user_id": order.user_id,
        "webhook_id": order.webhook_id,
        "delivery_id": order.delivery_id,
        "job_id": order.job_id,
        "attempt": order.attempt,
    }
