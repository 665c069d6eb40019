"""The intake of uploads that start a job by themselves: S3's events become jobs of those whom the keys name, each once."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import prometheus_client
from prometheus_client import CollectorRegistry

from consumers.queue_runner import QueueRunner
from jobs import clock
from jobs.errors import (
    AccountErased,
    AccountErasing,
    CloudUnavailable,
    JobDeleted,
    QuotaExceeded,
    RequestError,
    TooManyJobs,
    UserBlocked,
)
from jobs.ids import UserId
from jobs.submission import Request, Submission
from jobs.upload_events import Upload, UploadEventQueue, UploadMessage

logger = logging.getLogger(__name__)

RequestOf: TypeAlias = Callable[[Upload], Request]


class Outcome(StrEnum):
    """What became of an event."""

    TAKEN = "taken"
    REPLAYED = "replayed"
    REFUSED = "refused"
    PUT_OFF = "put_off"
    LEFT = "left"
    FOREIGN = "foreign"
    BROKE = "broke"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """How many messages at once, and how long an upload waits whose owner has too many jobs: each time twice as long.

    After ``give_up_seconds`` it is refused, long before its owner would have forgotten it.
    """

    at_once: int = 10
    first_wait_seconds: float = 60
    longest_wait_seconds: float = 900
    give_up_seconds: float = clock.DAY_SECONDS
    outage_wait_seconds: float = 20


class UploadIntake(QueueRunner[UploadMessage]):
    """Takes up to ``at_once`` messages at a time. ``failed`` is done when it died by itself: the process must stop then.

    ``request_of`` says which job an upload asks for; ``watch`` is told of users whose new job waits for their others; ``discard``
    takes a file away whose owner's account was erased since its link was signed. Raises CloudUnavailable.
    """

    def __init__(
        self,
        queue: UploadEventQueue,
        submission: Submission,
        request_of: RequestOf,
        watch: Callable[[UserId], None],
        discard: Callable[[Upload], Awaitable[None]],
        registry: CollectorRegistry,
        limits: IntakeLimits | None = None,
    ) -> None:
        super().__init__("upload", queue.receive, at_once=(limits or IntakeLimits()).at_once)
        self._queue = queue
        self._submission = submission
        self._request_of = request_of
        self._watch = watch
        self._discard = discard
        self._limits = limits or IntakeLimits()
        self._events = prometheus_client.Counter(
            "upload_events", "Events about uploads by what became of them", ["outcome"], registry=registry
        )
        for outcome in Outcome:
            self._events.labels(outcome)

    def _note_broken(self) -> None:
        self._events.labels(Outcome.BROKE).inc()

    async def _handle(self, message: UploadMessage) -> None:
        """Settle each upload, and only then remove the message: whoever dies before, another one does it again."""
        outcomes = [await self._settle(upload, message) for upload in message.uploads]
        for outcome in outcomes:
            self._events.labels(outcome).inc()
        if Outcome.LEFT in outcomes:
            return
        try:
            if message.has_foreign:
                self._events.labels(Outcome.FOREIGN).inc()
                logger.error("An upload event is not ours", extra={"action": "upload_foreign"})
                await self._queue.set_aside(message)
            else:
                await self._queue.delete(message)
        except CloudUnavailable:
            logger.warning("An upload event could not be removed", extra={"action": "upload_not_removed"})

    async def _settle(self, upload: Upload, message: UploadMessage) -> Outcome:
        """Store its job, or see to it that the upload comes again."""
        try:
            return await self._serve(upload, message)
        except JobDeleted:
            return Outcome.REPLAYED
        except CloudUnavailable:
            return await self._wait_for_the_cloud(upload, message)

    async def _serve(self, upload: Upload, message: UploadMessage) -> Outcome:
        try:
            return await self._take_in(upload, self._request_of(upload), message)
        except (AccountErasing, AccountErased):
            await self._discard(upload)  # nothing of it may stay, not even a job that says so
            return Outcome.REFUSED

    async def _take_in(self, upload: Upload, request: Request, message: UploadMessage) -> Outcome:
        try:
            submitted = await self._submission.take_in(request, upload.job_id)
        except (QuotaExceeded, UserBlocked) as reason:
            return await self._refuse(upload, request, reason)
        except TooManyJobs as reason:
            if self._has_waited_enough(message):
                return await self._refuse(upload, request, reason)
            return await self._put_off(upload, message)
        if submitted.job.waiting:
            self._watch(upload.user_id)
        return Outcome.REPLAYED if submitted.replayed else Outcome.TAKEN

    async def _refuse(self, upload: Upload, request: Request, reason: RequestError) -> Outcome:
        """Tell the owner by a job that has failed: nobody waits for an answer that could say it."""
        submitted = await self._submission.refuse(request, upload.job_id, reason)
        if submitted.replayed:
            return Outcome.REPLAYED
        logger.info("An upload was refused", extra=_extra("upload_refused", upload) | {"code": reason.code})
        return Outcome.REFUSED

    def _has_waited_enough(self, message: UploadMessage) -> bool:
        waits_since = message.waits_since
        return waits_since is not None and _seconds_since(waits_since) >= self._limits.give_up_seconds

    async def _put_off(self, upload: Upload, message: UploadMessage) -> Outcome:
        """Let it wait until its owner's other jobs have ended."""
        doubled = self._limits.first_wait_seconds * 2 ** min(message.times_put_off, 10)
        await self._queue.put_off(
            upload,
            delay_seconds=_jittered(min(doubled, self._limits.longest_wait_seconds)),
            times_put_off=message.times_put_off + 1,
            waits_since=message.waits_since or clock.now_milliseconds(),
        )
        return Outcome.PUT_OFF

    async def _wait_for_the_cloud(self, upload: Upload, message: UploadMessage) -> Outcome:
        """Let it wait for better times; if not even that works, the message comes back by itself."""
        logger.warning("An upload has to wait for our cloud", extra=_extra("upload_put_off", upload))
        try:
            # A copy, where leaving the message would use up a receive: those count the workers that died of it.
            await self._queue.put_off(
                upload,
                delay_seconds=_jittered(self._limits.outage_wait_seconds),
                times_put_off=message.times_put_off,
                waits_since=message.waits_since,
            )
        except CloudUnavailable:
            logger.warning("An upload could not be put off", extra=_extra("upload_left", upload))
            return Outcome.LEFT
        return Outcome.PUT_OFF


def _jittered(seconds: float) -> int:
    """Vary a wait by a quarter: those who had to wait together must not come back together."""
    return math.ceil(seconds * random.uniform(0.75, 1.25))  # noqa: S311 - jitter is no secret


def _seconds_since(milliseconds: int) -> float:
    return (clock.now_milliseconds() - milliseconds) / 1000


def _extra(action: str, upload: Upload) -> dict[str, object]:
    return {"action": action, "job_id": upload.job_id, "user_id": upload.user_id}
