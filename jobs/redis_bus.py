"""The event bus between tasks, over Redis or Valkey pub/sub."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from jobs import notices
from jobs.events import Deliver, Event, InProcessBus, JobEvent, JobProgress, Notice
from jobs.ids import JobId, UserId
from jobs.notices import Heard, Word
from jobs.redis_lines import LINE_ERRORS, Ears, Lines, open_lines

logger = logging.getLogger(__name__)

LISTENING_SECONDS: Final = 1.0
"""So long somebody waits for a subscription; one that takes longer may have missed something."""
START_SECONDS: Final = 1.0
STOP_SECONDS: Final = 1.0
HANG_UP_SECONDS: Final = 3.0
BATCH: Final = 100
UNSENT_NOTICES: Final = 4096
UNSENT_WORDS: Final = 10_000
PROGRESS_PER_USER: Final = 64


class BusMetrics:
    """The metrics of the bus in this process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter("event_bus_published", "Notices sent to other tasks", registry=registry)
        self.dropped = Counter("event_bus_dropped", "Notices not sent to other tasks", registry=registry)
        self.received = Counter("event_bus_received", "Notices of other tasks", registry=registry)
        self.gaps = Counter("event_bus_gaps", "Users for whom notices may have been missed", registry=registry)
        self.whole = Gauge("event_bus_whole", "1 while nothing of other tasks is missed", registry=registry)


@dataclass(slots=True)
class _Watch:
    """One user who is watched here. ``running`` are the jobs of other tasks whose progress is remembered, oldest first."""

    since: float
    watchers: int = 0
    is_heard: asyncio.Event = field(default_factory=asyncio.Event)
    was_heard: bool = False
    running: dict[JobId, None] = field(default_factory=dict)


class RedisBus:
    """An EventBus between all tasks that use the same server and ``prefix``.

    ``report`` is told whenever ``is_whole`` has changed, and after ``start`` when it never was. Local watchers are told first
    and always, whatever becomes of the server. What could not be sent is not sent again: a word tells those who missed it that
    they have, once it can be sent.
    ``failed`` is done when it died by itself: the process must stop then.
    """

    def __init__(self, url: str, *, prefix: str, registry: CollectorRegistry, report: Callable[[bool], None]) -> None:
        self._url = url
        self._prefix = f"{prefix}:u:"
        self._report = report
        self._tag = secrets.token_hex(8).encode()
        self._beat_prefix = f"{prefix}:{self._tag.decode()}"
        self._metrics = BusMetrics(registry)
        self._local = InProcessBus()
        self._watches: dict[UserId, _Watch] = {}
        self._unheard: set[UserId] = set()
        self._heals: list[Callable[[UserId], None]] = []
        self._note_dropped: Callable[[Event], None] = lambda _: None
        self._unsent: asyncio.Queue[Notice] = asyncio.Queue(UNSENT_NOTICES)
        self._missed: dict[UserId, None] = {}
        self._lines: Lines | None = None
        self._whole = asyncio.Event()
        self._is_cut_told = False
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_whole(self) -> bool:
        """Tell whether all that other tasks publish for watched users arrives here, as far as anybody can know."""
        return self._whole.is_set()

    async def start(self) -> None:
        """Begin to listen and to send; returns after a second at most, whether or not the server is there."""
        self._task = asyncio.create_task(self._run(), name="event bus")
        self._task.add_done_callback(self._note_death)
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._whole.wait()
        if not self.is_whole:
            self._report(False)

    async def stop(self) -> None:
        """Send what is due, for a second at most, and hang up, for three at most."""
        if self._task is None:
            return
        if self.is_whole:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._unsent.join()
        self._is_stopping = True  # a task group that fails at this moment swallows the cancellation
        self._task.cancel()
        _, late = await asyncio.wait([self._task], timeout=HANG_UP_SECONDS)
        if late:
            logger.warning("The event bus does not hang up", extra={"action": "bus_stop_late"})

    def subscribe(self, user_id: UserId, deliver: Deliver) -> Callable[[], None]:
        """Call ``deliver`` with each notice for the user; returns the function that ends it."""
        end_local = self._local.subscribe(user_id, deliver)
        self._begin_watch(user_id)
        ended = False

        def unsubscribe() -> None:
            nonlocal ended
            if not ended:
                ended = True
                end_local()
                self._end_watch(user_id)

        return unsubscribe

    async def listening(self, user_id: UserId) -> None:
        """Return when what other tasks publish for this user, who is watched, arrives here; or after a second."""
        watch = self._watches.get(user_id)
        if watch is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LISTENING_SECONDS):
                    await watch.is_heard.wait()

    def on_gap(self, heal: Callable[[UserId], None]) -> None:
        """Call ``heal`` whenever notices for a user who is watched may have been missed until just now."""
        self._heals.append(heal)

    def on_dropped(self, note: Callable[[Event], None]) -> None:
        """Call ``note``, which must not raise, with each event that was not sent to the other tasks, or maybe too late."""
        self._note_dropped = note

    def publish(self, notice: Notice) -> None:
        """Hand the notice to every watcher of the job's owner, and soon to those of other tasks."""
        self._local.publish(notice)
        if not self.is_whole:
            self._note_late(notice)
        try:
            self._unsent.put_nowait(notice)
        except asyncio.QueueFull:
            self._drop([notice])

    def progress_of(self, job_id: JobId) -> JobProgress | None:
        """Return the newest progress of a job that runs here, or whose owner is watched here."""
        return self._local.progress_of(job_id)

    def forget_progress(self, job_id: JobId) -> None:
        """Forget how far a job was: it runs here no more."""
        self._local.forget_progress(job_id)

    def _begin_watch(self, user_id: UserId) -> None:
        watch = self._watches.get(user_id)
        if watch is None:
            watch = self._watches[user_id] = _Watch(asyncio.get_running_loop().time())
            self._unheard.add(user_id)
            self._note_change(user_id)
        watch.watchers += 1

    def _end_watch(self, user_id: UserId) -> None:
        watch = self._watches[user_id]
        watch.watchers -= 1
        if watch.watchers:
            return
        del self._watches[user_id]
        self._unheard.discard(user_id)
        for job_id in watch.running:
            self._local.forget_progress(job_id)
        self._note_change(user_id)
        self._note_whole()

    def _note_change(self, user_id: UserId) -> None:
        if self._lines is not None:
            channel = self._channel(user_id)
            self._lines.find(channel).note_change(channel)

    async def _run(self) -> None:
        ears = Ears(wants=self._wants, listening=self._note_heard, hear=self._hear, beaten=self._note_whole)
        while not self._is_stopping:
            try:
                await self._work(ears)
            except* LINE_ERRORS as errors:
                self._log_cut(errors)
            await asyncio.sleep(random.uniform(0.1, 0.5))  # noqa: S311 - jitter is no secret

    async def _work(self, ears: Ears) -> None:
        """Listen and send until something breaks, which it raises; then everything begins anew."""
        async with open_lines(self._url, self._beat_prefix, ears) as lines:
            self._lines = lines
            for user_id in self._watches:
                self._note_change(user_id)
            try:
                async with asyncio.TaskGroup() as group:
                    for line in lines:
                        group.create_task(line.run(), name="redis line")
                    group.create_task(self._send_all(lines), name="event bus send")
            finally:
                self._note_cut()  # before hanging up, which takes its time

    def _note_cut(self) -> None:
        self._lines = None
        self._unheard.update(self._watches)
        for watch in self._watches.values():
            watch.is_heard.clear()
        if self.is_whole:
            self._note_unsent()
            self._whole.clear()
            self._metrics.whole.set(0)
            if not self._is_stopping:
                self._report(False)

    def _note_unsent(self) -> None:
        for _ in range(self._unsent.qsize()):
            notice = self._unsent.get_nowait()
            self._note_late(notice)
            self._unsent.put_nowait(notice)  # back to where it was, once all have gone round
            self._unsent.task_done()

    def _note_late(self, notice: Notice) -> None:
        # By the time it is sent, the clients of other tasks may long have passed it.
        if not isinstance(notice, JobProgress):
            self._note_dropped(notice)

    def _log_cut(self, errors: BaseExceptionGroup[Exception]) -> None:
        # One warning for an outage, however often it is tried again.
        level = logging.DEBUG if self._is_cut_told else logging.WARNING
        self._is_cut_told = True
        logger.log(level, "The event bus is cut", extra={"action": "bus_cut", "reason": "; ".join(_reasons(errors))})

    def _note_whole(self) -> None:
        # Once whole, it stays so while users come: nothing is known of them that could be missed.
        if self.is_whole or self._unheard or self._lines is None or not self._lines.have_beaten:
            return
        self._whole.set()
        self._metrics.whole.set(1)
        self._is_cut_told = False
        self._report(True)
        logger.info("The event bus is whole", extra={"action": "bus_whole", "users": len(self._watches)})

    def _wants(self, channel: str) -> bool:
        return self._user(channel) in self._watches

    def _note_heard(self, channel: str) -> None:
        user_id = self._user(channel)
        watch = self._watches.get(user_id)
        if watch is None or watch.is_heard.is_set():
            return
        is_late = asyncio.get_running_loop().time() - watch.since > LISTENING_SECONDS
        if watch.was_heard or is_late:
            self._heal(user_id)
        watch.was_heard = True
        watch.is_heard.set()
        self._unheard.discard(user_id)
        self._note_whole()

    def _hear(self, channel: str, payload: bytes) -> None:
        user_id = self._user(channel)
        if user_id not in self._watches or notices.is_tagged(self._tag, payload):
            return
        try:
            self._take(user_id, notices.decode(payload, user_id))
        except Exception:
            logger.exception(
                "A message of another task cannot be read", extra={"action": "bus_read", "user_id": user_id}
            )
            self._heal(user_id)

    def _take(self, user_id: UserId, heard: Heard) -> None:
        if isinstance(heard, Word):
            self._heal(user_id)
            return
        self._metrics.received.inc()
        self._bound_progress(self._watches[user_id], heard)
        self._local.publish(heard)

    def _bound_progress(self, watch: _Watch, notice: Notice) -> None:
        """Keep what is remembered of other tasks' jobs within bounds: their ends may never be heard of."""
        if isinstance(notice, JobEvent):
            watch.running.pop(notice.job.job_id, None)
        elif isinstance(notice, JobProgress):
            watch.running.pop(notice.job.job_id, None)
            watch.running[notice.job.job_id] = None
            if len(watch.running) > PROGRESS_PER_USER:
                oldest = next(iter(watch.running))
                del watch.running[oldest]
                self._local.forget_progress(oldest)

    def _heal(self, user_id: UserId) -> None:
        self._metrics.gaps.inc()
        for heal in self._heals:
            try:
                heal(user_id)
            except Exception:
                logger.exception("A gap was not taken note of", extra={"action": "bus_heal", "user_id": user_id})

    async def _send_all(self, lines: Lines) -> None:
        while True:
            await self._send_words(lines)
            batch = [await self._unsent.get()]
            while len(batch) < BATCH and not self._unsent.empty():
                batch.append(self._unsent.get_nowait())
            await self._send_notices(lines, batch)

    async def _send_words(self, lines: Lines) -> None:
        """Tell the other tasks for whom something was not sent."""
        while self._missed:
            users = list(self._missed)[:BATCH]
            for user_id in users:
                del self._missed[user_id]  # before, not after: one may be missed again meanwhile
            word = notices.encode(self._tag, Word.MISSED)
            try:
                await self._send(lines, [(self._channel(user_id), word) for user_id in users])
            except BaseException:
                self._missed.update(dict.fromkeys(users))
                raise

    async def _send_notices(self, lines: Lines, batch: Sequence[Notice]) -> None:
        is_sent = False
        try:
            messages = [message for notice in batch for message in self._encoded(notice)]
            await self._send(lines, messages)
            is_sent = True
            self._metrics.published.inc(len(messages))
        finally:
            if not is_sent:
                self._drop(batch)
            for _ in batch:
                self._unsent.task_done()

    async def _send(self, lines: Lines, messages: Sequence[tuple[str, bytes]]) -> None:
        by_line = defaultdict(list)
        for message in messages:
            by_line[lines.find(message[0])].append(message)
        for line, batch in by_line.items():
            await line.publish(batch)

    def _encoded(self, notice: Notice) -> list[tuple[str, bytes]]:
        """Write a notice; what cannot be written is dropped, or it would take all others of its batch with it."""
        try:
            return [(self._channel(notice.user_id), notices.encode(self._tag, notice))]
        except (TypeError, ValueError):
            logger.exception("A notice cannot be sent", extra={"action": "bus_write", "user_id": notice.user_id})
            self._drop([notice])
            return []

    def _drop(self, batch: Sequence[Notice]) -> None:
        self._metrics.dropped.inc(len(batch))
        for notice in batch:
            if not isinstance(notice, JobProgress):
                self._missed[notice.user_id] = None
                self._note_dropped(notice)
        while len(self._missed) > UNSENT_WORDS:
            # The oldest has waited longest: whoever listened has been cut off since, too, and reads the log anyway.
            del self._missed[next(iter(self._missed))]

    def _channel(self, user_id: UserId) -> str:
        return self._prefix + user_id

    def _user(self, channel: str) -> UserId:
        return UserId(channel.removeprefix(self._prefix))

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            logger.critical("The event bus died", exc_info=error, extra={"action": "bus_died"})
            self.failed.set_result(None)


def _reasons(errors: BaseExceptionGroup[Exception]) -> list[str]:
    """Say what has broken."""
    reasons: list[str] = []
    for error in errors.exceptions:
        reasons += _reasons(error) if isinstance(error, BaseExceptionGroup) else [f"{type(error).__name__}: {error}"]
    return reasons


@asynccontextmanager
async def open_redis_bus(
    url: str, *, prefix: str, registry: CollectorRegistry, report: Callable[[bool], None]
) -> AsyncIterator[RedisBus]:
    """Open the bus at ``redis://``, ``rediss://``, ``redis+cluster://`` or ``rediss+cluster://``, and close it at the end."""
    bus = RedisBus(url, prefix=prefix, registry=registry, report=report)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()
