"""The delivering worker: takes orders off the deliveries queue and has each carried out on its own."""

from __future__ import annotations

import logging
import random
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry

from consumers.queue_runner import QueueRunner
from consumers.webhook_courier import LEASE_SECONDS, Courier, Outcome, about, jitter
from jobs import clock
from jobs.errors import CloudUnavailable
from jobs.webhook_queue import Order, ReceivedOrder, WebhookQueue

logger = logging.getLogger(__name__)

_Name = TypeVar("_Name")
_MAX_TURNED_AWAY_SECONDS: Final = 30.0
_UNRESOLVED_SECONDS: Final = 4.0
"""Most look-ups are over by then; a name that hangs is given up by the system in some ten seconds."""
_OUTLIVED_SECONDS: Final = LEASE_SECONDS * 1.3
"""By then an attempt that another has claimed is over, or that other is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """How many deliveries at once: in all, to one host, of one user, and of one user to one host.

    ``retry_scale`` shortens the waits, for tests.
    """

    at_once: int = 32
    per_host: int = 8
    per_user: int = 8
    per_user_and_host: int = 2
    retry_scale: float = 1.0


class WebhookWorker(QueueRunner[ReceivedOrder]):
    """Runs up to ``at_once`` deliveries. ``failed`` is done when it died by itself: the process must stop then."""

    def __init__(
        self, queue: WebhookQueue, courier: Courier, limits: DeliveryLimits, registry: CollectorRegistry
    ) -> None:
        super().__init__("webhook", queue.receive, at_once=limits.at_once)
        self._queue = queue
        self._courier = courier
        self._limits = limits
        self._hosts: Tally[str] = Tally()
        self._users: Tally[str] = Tally()
        self._pairs: Tally[tuple[str, str]] = Tally()
        self._ended = prometheus_client.Counter(
            "webhook_orders", "Orders by what became of them", ["outcome"], registry=registry
        )

    def _note_broken(self) -> None:
        self._ended.labels(Outcome.BROKE).inc()

    async def _handle(self, message: ReceivedOrder) -> None:
        order = message.order
        if order is None:
            logger.warning("A message is not ours", extra={"action": "webhook_foreign"})
            return
        try:
            outcome = await self._serve(order, is_broken=message.is_last)
        except CloudUnavailable:
            outcome = Outcome.PUT_OFF
            await self._put_off(message, order)
        else:
            await self._delete(message)
        self._ended.labels(outcome).inc()

    async def _serve(self, order: Order, *, is_broken: bool) -> Outcome:
        """Do what can be done with it now, and send on what has to wait; returns what that was."""
        if order.due > clock.now_milliseconds():
            await self._queue.send([order])
            return Outcome.EARLY
        with self._place(order) as has_place:
            # A broken attempt calls nobody, so it needs no place.
            can_do = has_place or is_broken
            outcome = await self._courier.carry_out(order, is_broken=is_broken) if can_do else Outcome.TURNED_AWAY
        if outcome is Outcome.TURNED_AWAY:
            await self._turn_away(order)
        elif outcome is Outcome.UNRESOLVED:
            await self._send_on(order, _UNRESOLVED_SECONDS * jitter(0.5))
        elif outcome is Outcome.BUSY:
            await self._send_on(order, _OUTLIVED_SECONDS * jitter(0.2))
        return outcome

    @contextmanager
    def _place(self, order: Order) -> Iterator[bool]:
        """Take a place at the host and one of the user's, so that nobody's dead endpoint holds all slots."""
        if not self._has_room(order):
            yield False
            return
        host, user = order.host, order.user_id
        self._hosts[host] += 1
        self._users[user] += 1
        self._pairs[user, host] += 1
        try:
            yield True
        finally:
            _leave(self._hosts, host)
            _leave(self._users, user)
            _leave(self._pairs, (user, host))

    def _has_room(self, order: Order) -> bool:
        # A host may serve many users: the few places of each keep one user's hanging calls from taking all of it.
        return (
            self._hosts[order.host] < self._limits.per_host
            and self._users[order.user_id] < self._limits.per_user
            and self._pairs[order.user_id, order.host] < self._limits.per_user_and_host
        )

    async def _turn_away(self, order: Order) -> None:
        """Send it on. The waits grow: what a hanging host is owed must not fill the queue's time."""
        longest = min(_MAX_TURNED_AWAY_SECONDS, 3.0 * 2 ** min(order.turned_away, 10))
        seconds = longest * random.uniform(0.4, 1)  # noqa: S311 - jitter is no secret
        again = order.model_copy(update={"turned_away": order.turned_away + 1})
        await self._send_on(again, seconds)

    async def _send_on(self, order: Order, seconds: float) -> None:
        # A copy, where leaving the message would use up a receive: those count the workers that died of it.
        await self._queue.send([order], delay_seconds=seconds * self._limits.retry_scale)

    async def _put_off(self, received: ReceivedOrder, order: Order) -> None:
        """Wait for better times without using up a receive. If not even that works, the message comes back by itself."""
        logger.warning("A delivery has to wait for our cloud", extra={"action": "webhook_put_off", **about(order)})
        try:
            await self._queue.send([order], delay_seconds=_OUTLIVED_SECONDS * jitter(0.2))
        except CloudUnavailable:
            logger.warning("A delivery could not be put off", extra={"action": "webhook_left", **about(order)})
        else:
            await self._delete(received)

    async def _delete(self, received: ReceivedOrder) -> None:
        """Remove the message; one that stays comes back and is recognised as done, so nothing is sent in its place."""
        try:
            await self._queue.delete(received)
        except CloudUnavailable:
            logger.warning("An order could not be removed", extra={"action": "webhook_not_removed"})


def _leave(tally: Tally[_Name], name: _Name) -> None:
    tally[name] -= 1
    if tally[name] <= 0:
        del tally[name]
