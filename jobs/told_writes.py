"""Writes that are told: a change and the events that tell of it are one transaction, and what is committed is told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from botocore.exceptions import ClientError

from jobs import aws, clock
from jobs.actions import Action, Actions, cancellation_codes, event_item
from jobs.errors import CloudUnavailable
from jobs.events import Event, EventBus, EventType, JobEvent
from jobs.ids import EventId, EventIds, JobId
from jobs.model import Job

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

logger = logging.getLogger(__name__)

LATE_COMMIT_SECONDS = 4.0
"""A commit slower than this may land behind a reader that has passed its id; its event is put once more, under a fresh one."""
# A throttled transaction is a 400 whose reasons alone say so.
_NOT_NOW = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
_OFFER_SECONDS = 5.0
_CLOSE_SECONDS = 5.0

News: TypeAlias = Callable[[EventId, int], Event]
"""Makes an event of the id and the moment (milliseconds since the epoch) that it is given: each try needs fresh ones."""
Offer: TypeAlias = Callable[[Event], Awaitable[None]]


class ToldWrites:
    """Commits, then publishes on the bus. ``offer`` hands an event to the webhooks; offering it twice is no harm."""

    def __init__(
        self, client: DynamoDBClient, actions: Actions, events_table: str, bus: EventBus, offer: Offer | None
    ) -> None:
        self._client = client
        self._actions = actions
        self._events_table = events_table
        self._bus = bus
        self._offer = offer
        self._note_untold: Callable[[Event], None] = lambda _: None
        self._event_ids = EventIds()
        self._writes: set[asyncio.Task[None]] = set()

    def on_untold(self, note: Callable[[Event], None]) -> None:
        """Call ``note``, which must not raise, with each event that could not be offered to the webhooks."""
        self._note_untold = note

    async def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Await what was begun and whose callers are gone, for so long at most."""
        if self._writes:
            _, late = await asyncio.wait(self._writes, timeout=seconds)
            for task in late:
                task.cancel()

    def new_id(self) -> EventId:
        """Return an id greater than all before."""
        return self._event_ids.next()

    def unburied(self, job_id: JobId) -> Action:
        """Build the condition that this job has not been deleted."""
        return self._actions.unburied(job_id)

    async def transact(self, actions: Sequence[Action]) -> None:
        """Write once, all or nothing, and tell nobody. Raises CloudUnavailable and ClientError, as it comes."""
        try:
            await self._client.transact_write_items(TransactItems=cast(Any, actions))
        except ClientError as error:
            if _NOT_NOW.intersection(cancellation_codes(error)):
                raise CloudUnavailable from error
            raise

    async def write(self, actions: Sequence[Action], *news: News) -> None:
        """Write once, together with the events that tell of it, and tell them. Raises what ``transact`` raises."""

        async def write_and_tell() -> None:
            # Right before the attempt: readers go by the ids.
            events = [self._make(one) for one in news]
            started = time.monotonic()
            await self.transact([*actions, *(self._actions.log(event) for event in events)])
            if time.monotonic() - started > LATE_COMMIT_SECONDS:
                events = [await self._log_again(one) for one in news]
            for event in events:
                await self._tell(event)

        await self._to_the_end(write_and_tell())

    async def tell_once_more(self, news: News) -> None:
        """Tell of a change whose writer could not know that it had landed, under a fresh id. Raises CloudUnavailable."""

        async def log_and_tell() -> None:
            await self._tell(await self._log_again(news))

        await self._to_the_end(log_and_tell())

    async def tell_for_certain(self, news: News) -> None:
        """Tell it under a fresh id. Raises CloudUnavailable also when the webhooks could not be offered it."""
        try:
            await self._tell_or_fail(await self._log_again(news))
        except TimeoutError as error:
            raise CloudUnavailable from error

    async def _to_the_end(self, write: Coroutine[Any, Any, None]) -> None:
        """Await a write that goes on although its caller is canceled: committed and not told, it would be known to nobody."""
        task = asyncio.create_task(write, name="told write")
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        await asyncio.shield(task)

    async def _log_again(self, news: News) -> Event:
        """Put it into the log once more: a reader may have passed the first id before it was there."""

        async def put() -> Event:
            event = self._make(news)
            await self._client.put_item(TableName=self._events_table, Item=event_item(event))
            return event

        return await aws.retrying(put)

    async def _tell(self, event: Event) -> None:
        """Tell those who watch, and the owner's webhooks. What is committed is: nothing here can fail."""
        try:
            await self._tell_or_fail(event)
        except Exception:
            extra = {"action": "offer_failed", "about": event.about, "event_id": event.event_id}
            logger.exception("An event could not be offered to the webhooks", extra=extra)
            self._note_untold(event)

    async def _tell_or_fail(self, event: Event) -> None:
        self._bus.publish(event)
        if self._offer is not None:
            async with asyncio.timeout(_OFFER_SECONDS):
                await self._offer(event)

    def _make(self, news: News) -> Event:
        return news(self._event_ids.next(), clock.now_milliseconds())


def news_of(event_type: EventType, job: Job) -> News:
    """Tell of a change of a job, after which it is so."""
    return lambda event_id, at: JobEvent(event_id=event_id, type=event_type, at=at, job=job)
