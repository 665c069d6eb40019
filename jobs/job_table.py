"""Jobs, their event log and the day's usage in DynamoDB: every visible change and its event are one transaction."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from botocore.exceptions import ClientError

from jobs import aws, clock, items
from jobs.actions import Action, Actions, cancellation_codes, event_item, failed_conditions
from jobs.actions import Tables as Tables  # noqa: PLC0414 - whoever opens the table names its tables
from jobs.errors import (
    CloudUnavailable,
    JobEnded,
    KeyReused,
    LostClaim,
    QueueRefused,
    QuotaExceeded,
    TooManyJobs,
    UserIsFull,
)
from jobs.events import EventBus, EventType, JobEvent
from jobs.ids import EventIds, JobId, UserId
from jobs.job_reader import JobReader
from jobs.model import Job, Status
from jobs.moves import Move, Transition

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

logger = logging.getLogger(__name__)

LATE_COMMIT_SECONDS = 4.0
"""A commit slower than this may land behind a reader that has passed its id; its event is put once more, under a fresh one."""
_CONFLICT_TRIES = 8
# A throttled transaction is a 400 whose reasons alone say so.
_NOT_NOW = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
_END_EVENTS = {
    Status.COMPLETED: EventType.COMPLETED,
    Status.FAILED: EventType.FAILED,
    Status.CANCELED: EventType.CANCELED,
}
_OFFER_SECONDS = 5.0
_CLOSE_SECONDS = 5.0


class _Conflict(Exception):
    """The job changed between reading and writing it; ``job`` is what it is now."""

    def __init__(self, job: Job, write_id: str | None) -> None:
        super().__init__()
        self.job = job
        self.write_id = write_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one user may have: units a day, unfinished jobs, and jobs in flight (the others wait, stored)."""

    daily: int
    unfinished: int = 200
    in_flight: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A caller's name for one request, and a hash of what the request asks for."""

    text: str
    body_hash: str

    def record_id(self, user_id: UserId) -> str:
        """Return the key of its record among the jobs."""
        return f"idempotency#{user_id}#{hashlib.sha256(self.text.encode()).hexdigest()}"


Offer: TypeAlias = Callable[[JobEvent], Awaitable[None]]


class JobTable(JobReader):
    """Reads jobs, writes each move with all that belongs to it, then publishes the event.

    ``offer`` hands an event to the webhooks; offering it twice is no harm. It raises CloudUnavailable.
    """

    def __init__(self, client: DynamoDBClient, tables: Tables, bus: EventBus, offer: Offer | None = None) -> None:
        super().__init__(client, tables)
        self._offer = offer
        self._note_untold: Callable[[JobEvent], None] = lambda _: None
        self._actions = Actions(tables)
        self._bus = bus
        self._event_ids = EventIds()
        self._writes: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Await what was begun and whose callers are gone, for some seconds at most."""
        if self._writes:
            _, late = await asyncio.wait(self._writes, timeout=_CLOSE_SECONDS)
            for task in late:
                task.cancel()

    def on_untold(self, note: Callable[[JobEvent], None]) -> None:
        """Call ``note``, which must not raise, with each event that could not be offered to the webhooks."""
        self._note_untold = note

    async def create(self, job: Job, limits: Limits, key: IdempotencyKey | None = None) -> Job:
        """Store a new job, take one unit of its owner's day, and claim its key, if it has one.

        Returns the job as it was stored: ``waiting`` when its owner has as many in flight as one user may, or others that wait,
        which is told; or the job that an earlier request with the same key made. Raises QuotaExceeded, TooManyJobs, KeyReused.
        """
        if limits.daily < 1:
            raise QuotaExceeded(limits.daily)
        try:
            return await self._create(job, limits, key)
        except UserIsFull:
            return await self._create(replace(job, waiting=True), limits, key)

    async def _create(
        self, job: Job, limits: Limits, key: IdempotencyKey | None, instead_of: JobId | None = None
    ) -> Job:
        actions = [
            self._actions.put_job(job),
            self._actions.take_unit(job, limits.daily),
            self._actions.count_in(job, unfinished=limits.unfinished, in_flight=limits.in_flight),
        ]
        if key is not None:
            actions.append(self._actions.claim_key(job, key.record_id(job.user_id), key.body_hash, instead_of))
        try:
            await aws.retrying(lambda: self._store(job, actions))
        except ClientError as error:
            return await self._refused(job, limits, key, error)
        return job

    async def _store(self, job: Job, actions: list[Action]) -> None:
        """Write a new job once. Only one that waits has an event: any other is told as queued a moment later."""
        if job.waiting:
            await self._write_told(actions, EventType.PENDING, job)
        else:
            await self._transact(actions)

    async def _refused(self, job: Job, limits: Limits, key: IdempotencyKey | None, error: ClientError) -> Job:
        """Say why a job was not stored, or find that it was. The reasons stand in the order of the actions."""
        stored, quota, user, claimed = [*failed_conditions(error), None, None, None, None][:4]
        if stored is not None:
            # An earlier attempt of ours, whose answer was lost, has landed, at an unknown time.
            if job.waiting:
                await self._tell_once_more(EventType.PENDING, job)
            return job
        if claimed is not None and key is not None:
            earlier = await self.get(JobId(str(claimed["target"])))
            if earlier.failure is not None and earlier.failure.code == QueueRefused.code:
                # That request came to nothing and was told so: the key is free.
                return await self._create(job, limits, key, instead_of=earlier.job_id)
            if claimed.get("body") != key.body_hash:
                raise KeyReused from error
            return earlier
        if user is not None and int(user.get("unfinishedJobs", 0)) >= limits.unfinished:
            raise TooManyJobs(limits.unfinished) from error
        if quota is not None:
            raise QuotaExceeded(limits.daily) from error
        if user is not None:
            raise UserIsFull from error
        raise error

    async def is_claimed(self, user_id: UserId, key: IdempotencyKey) -> bool:
        """Tell whether an earlier request with this key was taken in."""
        item_key = {"jobId": key.record_id(user_id)}
        response = await aws.retrying(
            lambda: self._client.get_item(TableName=self._tables.jobs, Key=item_key, ConsistentRead=True)
        )
        # DynamoDB removes what has expired when it gets to it.
        claimed_until: Any = response.get("Item", {}).get("expiresAt", 0)
        return bool(claimed_until >= clock.now_milliseconds() // 1000)

    async def renew_lease(self, job_id: JobId, owner: str, lease_until: int) -> bool:
        """Hold the job until then; returns False when it is not this owner's any more. Raises CloudUnavailable."""
        try:
            await aws.retrying(
                lambda: self._client.update_item(
                    TableName=self._tables.jobs,
                    Key={"jobId": job_id},
                    UpdateExpression="SET lease = :until",
                    ConditionExpression="#owner = :owner",
                    ExpressionAttributeNames={"#owner": "owner"},
                    ExpressionAttributeValues={":until": lease_until, ":owner": owner},
                )
            )
        except ClientError as error:
            if aws.error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    async def delete(self, job: Job) -> None:
        """Put a tombstone in the place of an ended job, and tell its owner. Raises LostClaim when it is not as it was."""
        now = clock.now_milliseconds()
        deleted = replace(job, version=job.version + 1, updated_at=now)
        bury = self._actions.bury(job, now)
        try:
            await aws.retrying(lambda: self._write_told([bury], EventType.DELETED, deleted))
        except ClientError as error:
            if "ConditionalCheckFailed" in cancellation_codes(error):
                raise LostClaim from error
            raise

    async def apply(self, job: Job, move: Move, *, patience_seconds: float = 0) -> Job:
        """Make the move and return the job after it, deciding anew when the job changed meanwhile.

        Raises what the move raises (LostClaim, JobEnded), and CloudUnavailable when even ``patience_seconds`` of trying
        did not help.
        """
        write_id = self._event_ids.next()
        for _ in range(_CONFLICT_TRIES):
            transition = move(job)
            try:
                await self._commit_retrying(transition, write_id, patience_seconds)
            except _Conflict as conflict:
                if conflict.write_id != write_id:
                    job = conflict.job
                    continue
                # An attempt whose answer was lost has landed, at an unknown time: its event may lie behind a reader.
                if transition.event is not None:
                    await self._tell_once_more(transition.event, transition.after)
            return transition.after
        raise CloudUnavailable

    async def tell_end_again(self, job: Job) -> None:
        """Tell of an ended job's end once more, under a fresh id.

        Whoever wrote it may have died between a commit so late that readers had passed its event and the second telling.
        Raises CloudUnavailable.
        """
        try:
            await self._tell_or_fail(await self._log_again(_END_EVENTS[job.status], job))
        except TimeoutError as error:
            raise CloudUnavailable from error

    async def _commit_retrying(self, transition: Transition, write_id: str, patience_seconds: float) -> None:
        await aws.retrying(lambda: self._commit(transition, write_id), patience_seconds=patience_seconds)

    async def _commit(self, transition: Transition, write_id: str) -> None:
        """Write a transition once."""
        actions = [self._actions.update(transition, write_id)]
        if transition.taken_delta or transition.charged_delta:
            actions.append(self._actions.use(transition))
        if transition.pictures_delta or transition.unfinished_delta or transition.in_flight_delta:
            actions.append(self._actions.count_for_user(transition))
        try:
            if transition.event is None:
                await self._transact(actions)
            else:
                await self._write_told(actions, transition.event, transition.after)
        except ClientError as error:
            raise _conflict_of(error) or error from error

    async def _write_told(self, actions: list[Action], event_type: EventType, job: Job) -> None:
        """Write once, together with the event that tells of it, and tell it."""

        async def write_and_tell() -> None:
            # Right before the attempt: readers go by the ids.
            event = self._new_event(event_type, job)
            started = time.monotonic()
            await self._transact([*actions, self._actions.log(event)])
            if time.monotonic() - started > LATE_COMMIT_SECONDS:
                event = await self._log_again(event_type, job)
            await self._tell(event)

        await self._to_the_end(write_and_tell())

    async def _tell_once_more(self, event_type: EventType, job: Job) -> None:
        """Tell of a change whose writer could not know that it had landed."""

        async def log_and_tell() -> None:
            await self._tell(await self._log_again(event_type, job))

        await self._to_the_end(log_and_tell())

    async def _to_the_end(self, write: Coroutine[Any, Any, None]) -> None:
        """Await a write that goes on although its caller is canceled: committed and not told, it would be known to nobody."""
        task = asyncio.create_task(write, name="write of a job")
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        await asyncio.shield(task)

    async def _log_again(self, event_type: EventType, job: Job) -> JobEvent:
        """Tell of it once more, under a fresh id: a reader may have passed the first one before it was there."""

        async def put() -> JobEvent:
            event = self._new_event(event_type, job)
            await self._client.put_item(TableName=self._tables.events, Item=event_item(event))
            return event

        return await aws.retrying(put)

    async def _transact(self, actions: list[Action]) -> None:
        try:
            await self._client.transact_write_items(TransactItems=cast(Any, actions))
        except ClientError as error:
            if _NOT_NOW.intersection(cancellation_codes(error)):
                raise CloudUnavailable from error
            raise

    async def _tell(self, event: JobEvent) -> None:
        """Tell those who watch, and the owner's webhooks. What is committed is: nothing here can fail."""
        try:
            await self._tell_or_fail(event)
        except Exception:
            extra = {"action": "offer_failed", "job_id": event.job.job_id, "event_id": event.event_id}
            logger.exception("An event could not be offered to the webhooks", extra=extra)
            self._note_untold(event)

    async def _tell_or_fail(self, event: JobEvent) -> None:
        self._bus.publish(event)
        if self._offer is not None:
            async with asyncio.timeout(_OFFER_SECONDS):
                await self._offer(event)

    def _new_event(self, event_type: EventType, job: Job) -> JobEvent:
        return JobEvent(event_id=self._event_ids.next(), type=event_type, at=clock.now_milliseconds(), job=job)


def _conflict_of(error: ClientError) -> Exception | None:
    """Say which condition of a move's transaction failed: the job's, or the user's."""
    failed = failed_conditions(error)
    job = failed[0] if failed else None
    if job is None:
        return UserIsFull() if any(item is not None for item in failed) else None
    if "userId" not in job:
        return JobEnded()  # deleted meanwhile
    return _Conflict(items.from_item(job), job.get("writeId"))
