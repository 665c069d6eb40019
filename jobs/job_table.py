"""Jobs, their event log and the day's usage in DynamoDB: every visible change and its event are one transaction."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from jobs import aws, clock, items, standing
from jobs.actions import NOBODY, Action, Actions, cancellation_codes, failed_conditions
from jobs.actions import Tables as Tables  # noqa: PLC0414 - whoever opens the table names its tables
from jobs.errors import (
    CloudUnavailable,
    JobDeleted,
    JobEnded,
    KeyReused,
    LostClaim,
    QueueRefused,
    QuotaExceeded,
    TooManyJobs,
    UserBlocked,
    UserIsFull,
)
from jobs.events import EventBus, EventType
from jobs.ids import JobId, UserId, is_anonymous
from jobs.job_reader import JobReader
from jobs.model import Job, Status
from jobs.moves import Move, Transition
from jobs.told_writes import Offer, ToldWrites, news_of

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

logger = logging.getLogger(__name__)

_CONFLICT_TRIES = 8
_END_EVENTS = {
    Status.COMPLETED: EventType.COMPLETED,
    Status.FAILED: EventType.FAILED,
    Status.CANCELED: EventType.CANCELED,
}


class _Conflict(Exception):
    """The job changed between reading and writing it; ``job`` is what it is now."""

    def __init__(self, job: Job, write_id: str | None) -> None:
        super().__init__()
        self.job = job
        self.write_id = write_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one user may have: units a day, unfinished jobs, and jobs in flight (the others wait, stored).

    ``anonymous_daily`` are the units of a user without a token, ``own_daily`` those that an operator has given to this one.
    """

    daily: int
    anonymous_daily: int = 0
    own_daily: int | None = None
    unfinished: int = 200
    in_flight: int = 16

    def daily_of(self, user_id: UserId) -> int:
        """Return the units a day of this user."""
        if self.own_daily is not None:
            return self.own_daily
        return self.anonymous_daily if is_anonymous(user_id) else self.daily


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A caller's name for one request, and a hash of what the request asks for."""

    text: str
    body_hash: str

    def record_id(self, user_id: UserId) -> str:
        """Return the key of its record among the jobs."""
        return f"idempotency#{user_id}#{hashlib.sha256(self.text.encode()).hexdigest()}"


class JobTable(JobReader):
    """Reads jobs, writes each move with all that belongs to it, then publishes the event.

    ``offer`` is as ``ToldWrites`` has it. Whoever writes something else that users are told of does so by ``writes`` too.
    """

    def __init__(self, client: DynamoDBClient, tables: Tables, bus: EventBus, offer: Offer | None = None) -> None:
        super().__init__(client, tables)
        self._actions = Actions(tables)
        self.writes = ToldWrites(client, self._actions, tables.events, bus, offer)

    async def create(
        self, job: Job, limits: Limits, key: IdempotencyKey | None = None, *, since: int | None = None
    ) -> Job:
        """Store a new job, take one unit of its owner's day, and claim its key, if it has one.

        Returns the job as it was stored: ``waiting`` when its owner has as many in flight as one user may, or others that wait,
        which is told; or the job that an earlier request with the same key made, or that has the same id, as it is now.
        ``since`` is when the caller was last known to be the job's owner, in milliseconds since the epoch; now unless told.
        Raises QuotaExceeded, TooManyJobs, KeyReused, UserBlocked, AccountErasing, AccountErased, and JobDeleted when a job of
        this id was there before.
        """
        since = clock.now_milliseconds() if since is None else since
        limits = replace(limits, own_daily=await self.users.own_limit(job.user_id))
        if limits.daily_of(job.user_id) < job.units:
            raise QuotaExceeded(limits.daily_of(job.user_id))
        try:
            return await self._create(job, limits, key, since)
        except UserIsFull:
            return await self._create(replace(job, waiting=True), limits, key, since)

    async def _create(
        self, job: Job, limits: Limits, key: IdempotencyKey | None, since: int, instead_of: JobId | None = None
    ) -> Job:
        actions = [
            self._actions.put_job(job),
            self._actions.take_units(job, limits.daily_of(job.user_id)),
            self._actions.count_in(job, unfinished=limits.unfinished, in_flight=limits.in_flight, since=since),
        ]
        if key is not None:
            actions.append(self._actions.claim_key(job, key.record_id(job.user_id), key.body_hash, instead_of))
        try:
            await aws.retrying(lambda: self._store(job, actions))
        except ClientError as error:
            return await self._refused(job, limits, key, since, error)
        return job

    async def _store(self, job: Job, actions: list[Action]) -> None:
        """Write a new job once. Only one that waits has an event: any other is told as queued a moment later."""
        if job.waiting:
            await self.writes.write(actions, news_of(EventType.PENDING, job))
        else:
            await self.writes.transact(actions)

    async def _refused(
        self, job: Job, limits: Limits, key: IdempotencyKey | None, since: int, error: ClientError
    ) -> Job:
        """Say why a job was not stored, or find that it was. The reasons stand in the order of the actions."""
        stored, quota, user, claimed = [*failed_conditions(error), None, None, None, None][:4]
        if user is not None:
            standing.check(user, since)
        if stored is not None:
            return await self._found(job, stored, EventType.PENDING if job.waiting else None)
        if claimed is not None and key is not None:
            earlier = await self.get(JobId(str(claimed["target"])))
            if earlier.failure is not None and earlier.failure.code == QueueRefused.code:
                # That request came to nothing and was told so: the key is free.
                return await self._create(job, limits, key, since, instead_of=earlier.job_id)
            if claimed.get("body") != key.body_hash:
                raise KeyReused from error
            return earlier
        if user is not None and "blockedAt" in user:
            raise UserBlocked from error
        if user is not None and int(user.get("unfinishedJobs", 0)) >= limits.unfinished:
            raise TooManyJobs(limits.unfinished) from error
        if quota is not None:
            raise QuotaExceeded(limits.daily_of(job.user_id)) from error
        if user is not None:
            raise UserIsFull from error
        raise error

    async def create_failed(self, job: Job, *, since: int | None = None) -> Job:
        """Store a job that fails before it began, and tell its owner; nothing is taken or counted for it.

        Returns the job that has its id already, if there is one; ``since`` is as ``create`` has it. Raises JobDeleted,
        AccountErasing, AccountErased.
        """
        since = clock.now_milliseconds() if since is None else since
        actions = [self._actions.put_job(job), self._actions.takes_in(job.user_id, since)]
        try:
            await aws.retrying(lambda: self.writes.write(actions, news_of(EventType.FAILED, job)))
        except ClientError as error:
            stored, user = [*failed_conditions(error), None, None][:2]
            if user is not None:
                standing.check(user, since)
            if stored is None:
                raise
            return await self._found(job, stored, EventType.FAILED)
        return job

    async def _found(self, job: Job, stored: items.Item, told_as: EventType | None) -> Job:
        """Return what stands in the place of a job that was to be stored. Raises JobDeleted."""
        if "deletedBy" in stored:
            raise JobDeleted
        found = items.from_item(stored)
        if told_as is not None and found.created_at == job.created_at:
            # An earlier attempt of ours, whose answer was lost, has landed, at an unknown time.
            await self.writes.tell_once_more(news_of(told_as, job))
        return found

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
        bury = self._actions.bury(job.job_id, job.user_id, job.version, now)
        try:
            await aws.retrying(lambda: self.writes.write([bury], news_of(EventType.DELETED, deleted)))
        except ClientError as error:
            if "ConditionalCheckFailed" in cancellation_codes(error):
                raise LostClaim from error
            raise

    async def erase(self, job_id: JobId, version: object) -> None:
        """Put a tombstone that names nobody in the place of an ended job, and tell nobody. Raises LostClaim as ``delete`` does.

        ``version`` is as it was read, None of a row that had none.
        """
        bury = self._actions.bury(job_id, NOBODY, version, clock.now_milliseconds())
        try:
            await aws.retrying(lambda: self.writes.transact([bury]))
        except ClientError as error:
            if "ConditionalCheckFailed" in cancellation_codes(error):
                raise LostClaim from error
            raise

    async def forestall(self, job_id: JobId) -> None:
        """Let there never be a job of this id, if there is none yet: whoever would store it finds that it was deleted."""
        try:
            await aws.retrying(
                lambda: self.writes.transact([self._actions.forestall(job_id, clock.now_milliseconds())])
            )
        except ClientError as error:
            if "ConditionalCheckFailed" not in cancellation_codes(error):
                raise

    async def apply(self, job: Job, move: Move, *, patience_seconds: float = 0) -> Job:
        """Make the move and return the job after it, deciding anew when the job changed meanwhile.

        Raises what the move raises (LostClaim, JobEnded), and CloudUnavailable when even ``patience_seconds`` of trying
        did not help.
        """
        write_id = self.writes.new_id()
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
                    await self.writes.tell_once_more(news_of(transition.event, transition.after))
            return transition.after
        raise CloudUnavailable

    async def tell_end_again(self, job: Job) -> None:
        """Tell of an ended job's end once more, under a fresh id.

        Whoever wrote it may have died between a commit so late that readers had passed its event and the second telling.
        Raises CloudUnavailable.
        """
        await self.writes.tell_for_certain(news_of(_END_EVENTS[job.status], job))

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
                await self.writes.transact(actions)
            else:
                await self.writes.write(actions, news_of(transition.event, transition.after))
        except ClientError as error:
            raise _conflict_of(error) or error from error


def _conflict_of(error: ClientError) -> Exception | None:
    """Say which condition of a move's transaction failed: the job's, or the user's."""
    failed = failed_conditions(error)
    job = failed[0] if failed else None
    if job is None:
        return UserIsFull() if any(item is not None for item in failed) else None
    if "userId" not in job:
        return JobEnded()  # deleted meanwhile
    return _Conflict(items.from_item(job), job.get("writeId"))
