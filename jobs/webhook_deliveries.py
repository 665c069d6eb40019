"""Deliveries to webhooks: what was attempted, what came of it, and what is owed next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from jobs.ids import EventId, JobId, UserId
from jobs.webhook_queue import Order, created_at


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

    def again(self, now: int) -> Delivery:
        """Return it as it is owed once more, from its first attempt on."""
        return replace(
            self,
            status=DeliveryStatus.PENDING,
            round=self.round + 1,
            attempts=0,
            next_attempt_at=now,
            claim=None,
            lease_until=None,
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
