"""The deliveries queue in SQS: each message is one attempt that is owed to an endpoint."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from jobs import aws, clock
from jobs.aws import LONG_POLL_SECONDS
from jobs.errors import CloudUnavailable
from jobs.ids import EventId, JobId, UserId
from jobs.work_queue import MAX_BATCH, MAX_DELAY_SECONDS

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient
    from types_aiobotocore_sqs.type_defs import MessageTypeDef

DELIVERY_ID: Final = re.compile(r"msg_([0-9a-f]{12})[0-9a-f]{16}")
MAX_RECEIVES: Final = 3
"""So often a message is received before it is a dead letter, as deploy/data.yaml has it."""


class Order(BaseModel):
    """One attempt to deliver. ``due`` is when, in milliseconds since the epoch; ``attempt`` counts those before it.

    ``delivery_id`` is the same for every attempt, ``round`` counts the redeliveries its owner asked for, and ``turned_away``
    how often the endpoint's host had no room. A test has no ``event_id``.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    user_id: UserId
    webhook_id: str
    delivery_id: str = Field(pattern=DELIVERY_ID.pattern)
    host: str
    type: str
    due: int
    event_id: EventId | None = None
    job_id: JobId | None = None
    version: int = 0
    round: int = 0
    attempt: int = 0
    turned_away: int = 0

    @property
    def created_at(self) -> int:
        """When what it tells of happened."""
        return created_at(self.delivery_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedOrder:
    """One receive of a message, the last that there is of it if so marked; ``order`` is None when its body is not ours."""

    receipt: str
    order: Order | None
    is_last: bool = False


class WebhookQueue:
    """Sends orders and takes them off. All errors: CloudUnavailable."""

    def __init__(self, client: SQSClient, receiver: SQSClient, *, url: str, visibility_seconds: int = 60) -> None:
        self._client = client
        self._receiver = receiver
        self._url = url
        self._visibility_seconds = visibility_seconds

    async def send(self, orders: Iterable[Order], *, delay_seconds: float | None = None) -> None:
        """Put the orders into the queue, to be seen when they are due (or after the delay), in 15 minutes at the latest."""
        rest = iter(orders)
        while batch := list(islice(rest, MAX_BATCH)):
            entries: Any = [self._entry(number, order, delay_seconds) for number, order in enumerate(batch)]
            with aws.unavailable_whatever_it_says():
                answer = await self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            if answer.get("Failed"):
                raise CloudUnavailable

    async def receive(self, most: int) -> list[ReceivedOrder]:
        """Wait up to 20 seconds for orders, at most ``most`` (and 10)."""
        with aws.unavailable_whatever_it_says():
            answer = await self._receiver.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(most, MAX_BATCH),
                WaitTimeSeconds=LONG_POLL_SECONDS,
                VisibilityTimeout=self._visibility_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [_received(message) for message in answer.get("Messages", [])]

    async def delete(self, received: ReceivedOrder) -> None:
        """Remove a received order; one that cannot be removed comes back and is recognised as done."""
        with aws.unavailable_whatever_it_says():
            await self._client.delete_message(QueueUrl=self._url, ReceiptHandle=received.receipt)

    def _entry(self, number: int, order: Order, delay_seconds: float | None) -> dict[str, Any]:
        if delay_seconds is None:
            delay_seconds = max(0, order.due - clock.now_milliseconds()) / 1000
        return {
            "Id": str(number),
            "MessageBody": order.model_dump_json(by_alias=True, exclude_none=True),
            # The group makes the standard queue a fair one: an owner of many events delays only that owner.
            "MessageGroupId": order.user_id,
            "DelaySeconds": min(math.ceil(delay_seconds), MAX_DELAY_SECONDS),
        }


def delivery_id_of(at: int, name: str) -> str:
    """Return the id of a delivery that tells of something at that moment: ids sort by time, one name has one id."""
    return f"msg_{at:012x}{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def created_at(delivery_id: str) -> int:
    """Return the moment that the id of a delivery begins with."""
    return int(delivery_id[4:16], 16)


def _received(message: MessageTypeDef) -> ReceivedOrder:
    receives = int(message.get("Attributes", {}).get("ApproximateReceiveCount", "1"))
    return ReceivedOrder(
        receipt=message["ReceiptHandle"], order=_read(message.get("Body", "")), is_last=receives >= MAX_RECEIVES
    )


def _read(body: str) -> Order | None:
    try:
        return Order.model_validate_json(body)
    except ValidationError:
        return None
