"""The delivering worker: takes orders off the deliveries queue and calls the endpoints, each on its own."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry

from consumers.webhook_sender import Answer, WebhookSender
from jobs import clock, envelope
from jobs.errors import CloudUnavailable, WebhookNotFound
from jobs.model import JSON, Job
from jobs.webhook_deliveries import DeliveryStatus, DeliveryTable, LoggedEvents, Settlement
from jobs.webhook_queue import Order, ReceivedOrder, WebhookQueue
from jobs.webhooks import Webhook, WebhookTable

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = (5, 60, 300, 1800, 7200, 18_000, 36_000)
"""How long to wait after each failed attempt; after the last, the delivery has failed."""
LEASE_SECONDS: Final = 40
"""So long an attempt is nobody else's; longer than it can take, shorter than its message stays hidden."""
_MAX_BACKOFF_SECONDS: Final = 10.0
_MAX_TURNED_AWAY_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """How many deliveries at once: in all, to one host, and of one user. ``retry_scale`` shortens the waits, for tests."""

    at_once: int = 32
    per_host: int = 2
    per_user: int = 8
    retry_scale: float = 1.0


class Courier:
    """Carries out one order. Another task may have a copy of it: whoever claims the attempt makes it."""

    def __init__(
        self,
        table: WebhookTable,
        deliveries: DeliveryTable,
        queue: WebhookQueue,
        events: LoggedEvents,
        view: Callable[[Job], Awaitable[dict[str, JSON]]],
        sender: WebhookSender,
        *,
        retry_scale: float,
    ) -> None:
        self._table = table
        self._deliveries = deliveries
        self._queue = queue
        self._events = events
        self._view = view
        self._sender = sender
        self._retry_scale = retry_scale

    async def carry_out(self, order: Order) -> bool:
        """Make the attempt, write down what came of it and order the next; returns whether the message is done with.

        Raises CloudUnavailable.
        """
        try:
            webhook = await self._table.get(order.user_id, order.webhook_id)
        except WebhookNotFound:
            return True
        now, claim = clock.now_milliseconds(), secrets.token_hex(8)
        standing = await self._deliveries.claim(order, claim, now + LEASE_SECONDS * 1000)
        if standing is None:
            await self._attempt(webhook, order, claim)
            return True
        if standing.is_busy(now):
            return False
        follow_up = standing.owes_after(order)
        if follow_up is not None:
            await self._queue.send([follow_up])
        return True

    async def _attempt(self, webhook: Webhook, order: Order, claim: str) -> None:
        answer, is_last = await self._call(webhook, order)
        settlement = settle(answer, order.attempt, is_last=is_last or answer.is_gone, retry_scale=self._retry_scale)
        extra = {"action": f"webhook_{settlement.status.value}", **_about(order), "status_code": answer.status_code}
        logger.info("An endpoint was called", extra=extra)
        is_ours = await self._deliveries.settle(order, claim, settlement)
        if answer.is_gone:
            await self._disable(webhook)
        if is_ours and settlement.next_attempt_at is not None:
            again = order.model_copy(
                update={"attempt": order.attempt + 1, "due": settlement.next_attempt_at, "turned_away": 0}
            )
            await self._queue.send([again])

    async def _call(self, webhook: Webhook, order: Order) -> tuple[Answer, bool]:
        """Call the endpoint; returns what it said, and whether no other attempt makes sense."""
        if not webhook.is_enabled:
            return Answer(error="The webhook is disabled"), True
        body = await self._body(order)
        if body is None:
            logger.warning("An event is no longer kept", extra={"action": "webhook_event_gone", **_about(order)})
            return Answer(error="The event is no longer kept"), True
        return await self._sender.send(webhook.url, webhook.secret, order.delivery_id, body), False

    async def _body(self, order: Order) -> bytes | None:
        if order.event_id is None:
            return envelope.encode(order.type, order.created_at, data={"webhookId": order.webhook_id})
        event = await self._events.find(order.user_id, order.event_id)
        if event is None:
            return None
        return envelope.encode(
            event.type.value, event.at, event_id=event.event_id, job=await self._view(event.job)
        )

    async def _disable(self, webhook: Webhook) -> None:
        logger.info("A webhook was disabled", extra={"action": "webhook_disabled", "webhook_id": webhook.webhook_id})
        try:
            await self._table.disable(webhook, "The endpoint answered 410: it wants no more deliveries")
        except WebhookNotFound:
            return  # its owner was faster


class WebhookWorker:
    """Runs up to ``at_once`` deliveries. ``failed`` is done when it died by itself: the process must stop then."""

    def __init__(
        self, queue: WebhookQueue, courier: Courier, limits: DeliveryLimits, registry: CollectorRegistry
    ) -> None:
        self._queue = queue
        self._courier = courier
        self._limits = limits
        self._running: set[asyncio.Task[None]] = set()
        self._hosts: Tally[str] = Tally()
        self._users: Tally[str] = Tally()
        self._slot_freed = asyncio.Event()
        self._fetcher: asyncio.Task[None] | None = None
        self._ended = prometheus_client.Counter(
            "webhook_orders", "Orders by what became of them", ["outcome"], registry=registry
        )
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Begin to deliver."""
        self._fetcher = asyncio.create_task(self._fetch(), name="webhook-fetcher")
        self._fetcher.add_done_callback(self._note_death)

    async def stop(self, budget_seconds: float) -> None:
        """Fetch no more and let what is in hand end; what does not in that time is attempted anew by another task."""
        if self._fetcher is None:
            return
        self._fetcher.cancel()
        await asyncio.wait([self._fetcher])
        if self._running:
            await asyncio.wait(self._running, timeout=budget_seconds)
        late = tuple(self._running)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _fetch(self) -> None:
        failures = 0
        while True:
            free = await self._free_slots()
            try:
                received = await self._queue.receive(free)
            except CloudUnavailable:
                failures = min(failures + 1, 6)
                logger.warning("The deliveries queue does not answer", extra={"action": "webhook_receive_failed"})
                await asyncio.sleep(random.uniform(0, min(_MAX_BACKOFF_SECONDS, 0.2 * 2**failures)))  # noqa: S311
                continue
            failures = 0
            for one in received:
                self._start(one)

    async def _free_slots(self) -> int:
        while len(self._running) >= self._limits.at_once:
            self._slot_freed.clear()
            await self._slot_freed.wait()
        return self._limits.at_once - len(self._running)

    def _start(self, received: ReceivedOrder) -> None:
        task = asyncio.create_task(self._handle(received), name="webhook-delivery")
        self._running.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slot_freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its message comes back, and is a dead letter after the third time.
            self._ended.labels("broke").inc()
            logger.error("A delivery broke", exc_info=error, extra={"action": "webhook_broke"})

    async def _handle(self, received: ReceivedOrder) -> None:
        order = received.order
        if order is None:
            logger.warning("A message is not ours", extra={"action": "webhook_foreign"})
            return
        try:
            outcome = await self._serve(order)
            if outcome != "busy":
                await self._queue.delete(received)
        except CloudUnavailable:
            outcome = "unavailable"
            await self._put_off(received, order)
        self._ended.labels(outcome).inc()

    async def _serve(self, order: Order) -> str:
        """Do what can be done with it now; returns what that was."""
        if order.due > clock.now_milliseconds():
            await self._queue.send([order])
            return "early"
        with self._place(order) as has_place:
            if not has_place:
                await self._turn_away(order)
                return "turned_away"
            return "done" if await self._courier.carry_out(order) else "busy"

    @contextmanager
    def _place(self, order: Order) -> Iterator[bool]:
        """Take a place at the host and one of the user's, so that nobody's dead endpoint holds all slots."""
        host, user = order.host, order.user_id
        if self._hosts[host] >= self._limits.per_host or self._users[user] >= self._limits.per_user:
            yield False
            return
        self._hosts[host] += 1
        self._users[user] += 1
        try:
            yield True
        finally:
            _leave(self._hosts, host)
            _leave(self._users, user)

    async def _turn_away(self, order: Order) -> None:
        """Send it on. Each wait is longer than the last: what a hanging host is owed must not fill the queue's time."""
        seconds = min(_MAX_TURNED_AWAY_SECONDS, 2.0 * 2 ** min(order.turned_away, 10)) * _jitter(0.5)
        again = order.model_copy(update={"turned_away": order.turned_away + 1})
        await self._queue.send([again], delay_seconds=seconds * self._limits.retry_scale)

    async def _put_off(self, received: ReceivedOrder, order: Order) -> None:
        """Wait for better times without using up a receive. If not even that works, the message comes back by itself."""
        logger.warning("A delivery has to wait for our cloud", extra={"action": "webhook_put_off", **_about(order)})
        try:
            await self._queue.send([order], delay_seconds=LEASE_SECONDS * _jitter(0.2) * 1.3)
            await self._queue.delete(received)
        except CloudUnavailable:
            logger.warning("A delivery could not be put off", extra={"action": "webhook_left", **_about(order)})

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            logger.critical("The webhook worker died", exc_info=error, extra={"action": "webhook_worker_died"})
            self.failed.set_result(None)


def settle(answer: Answer, attempt: int, *, is_last: bool, retry_scale: float = 1.0) -> Settlement:
    """Decide what follows from the answer to an attempt that had ``attempt`` others before it."""
    now = clock.now_milliseconds()
    if answer.is_taken:
        return Settlement(status=DeliveryStatus.DELIVERED, ended_at=now, status_code=answer.status_code)
    is_last = is_last or attempt >= len(RETRY_SECONDS)
    wait = 0.0 if is_last else RETRY_SECONDS[attempt] * retry_scale * _jitter(0.1)
    return Settlement(
        status=DeliveryStatus.FAILED if is_last else DeliveryStatus.PENDING,
        ended_at=now,
        next_attempt_at=None if is_last else now + round(wait * 1000),
        status_code=answer.status_code,
        error=answer.error,
    )


def _jitter(share: float) -> float:
    return random.uniform(1 - share, 1 + share)  # noqa: S311 - jitter is no secret


def _leave(tally: Tally[str], name: str) -> None:
    tally[name] -= 1
    if tally[name] <= 0:
        del tally[name]


def _about(order: Order) -> dict[str, object]:
    return {
        "user_id": order.user_id,
        "webhook_id": order.webhook_id,
        "delivery_id": order.delivery_id,
        "job_id": order.job_id,
        "attempt": order.attempt,
    }
