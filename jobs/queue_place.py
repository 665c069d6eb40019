"""Where a queued job stands, all tasks together, and when work on it begins: estimates, for those who wait here."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypeAlias

from jobs import clock
from jobs.errors import CloudUnavailable, JobNotFound
from jobs.ids import JobId, UserId
from jobs.items import STATUS_SHARDS
from jobs.job_reader import JobReader, Unfinished
from jobs.model import JSON, Job, Status

logger = logging.getLogger(__name__)

ROWS: Final = 4000
_MEMORY_SECONDS: Final = 60.0
_ENOUGH_JOBS: Final = 3
_ETA_STEPS: Final = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 2700, 3600)
_FIRST_LOOKS: Final = 100
_STALE_AFTER: Final = 3
_INDEX_LAG_SECONDS: Final = 5

_Turn: TypeAlias = tuple[int, JobId]
"""What the queue is ordered by: since when a job is queued, and its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How many queued jobs are before one, and in about how many seconds work on it begins, where that can be known."""

    ahead: int
    eta_seconds: int | None

    @property
    def message(self) -> str:
        """Say it in a sentence."""
        if self.ahead == 0:
            return "Next in the queue"
        return f"Behind {self.ahead:,} other job{'s' if self.ahead > 1 else ''} in the queue"

    def differs_materially(self, other: Place) -> bool:
        """Tell whether somebody who was told the other would care for this one."""
        moved = abs(self.ahead - other.ahead)
        return self.eta_seconds != other.eta_seconds or moved >= max(1, other.ahead / 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """The place of a job at a moment, in milliseconds since the epoch: ephemeral, and every process finds its own."""

    job_id: JobId
    user_id: UserId
    version: int
    place: Place
    at: int


def view(place: Place) -> dict[str, JSON]:
    """Write a place as JSON."""
    eta: dict[str, JSON] = {} if place.eta_seconds is None else {"etaSeconds": place.eta_seconds}
    return {"ahead": place.ahead, **eta}


class ServiceRate:
    """How many jobs leave the queue in a second: the mean of a minute or so, in which what is newest counts most."""

    def __init__(self) -> None:
        self._jobs = 0.0
        self._seconds = 0.0

    @property
    def per_second(self) -> float | None:
        """The rate; None until enough jobs were seen to leave, and again when that was long ago."""
        return self._jobs / self._seconds if self._jobs >= _ENOUGH_JOBS else None

    def note(self, jobs: int, seconds: float, *, ran_dry: bool) -> None:
        """Take in how many have left within some seconds. Of a queue that ran dry the rate is at least that, and unknown."""
        self.fade(seconds)
        if ran_dry and jobs <= (self.per_second or math.inf) * seconds:
            return
        self._jobs += jobs
        self._seconds += seconds

    def fade(self, seconds: float) -> None:
        """Let some seconds pass in which nobody looked."""
        weight = math.exp(-seconds / _MEMORY_SECONDS)
        self._jobs *= weight
        self._seconds *= weight

    def eta_seconds(self, ahead: int) -> int | None:
        """Return when work begins on a job behind so many, rounded up to what can be known; None beyond an hour."""
        rate = self.per_second
        if rate is None:
            return None
        return next((step for step in _ETA_STEPS if step >= (ahead + 1) / rate), None)


class _Reading:
    """The queue as it was read at ``at``, in monotonic seconds; it is complete up to ``whole_until``, None says wholly.

    ``began_at`` is milliseconds since the epoch.
    """

    def __init__(self, rows: Iterable[Unfinished], whole_until: int | None, at: float, began_at: int) -> None:
        self.rows = sorted(rows, key=_turn)
        self.turns = [_turn(row) for row in self.rows]
        self.whole_until = whole_until
        self.at = at
        self._expected_until = began_at - _INDEX_LAG_SECONDS * 1000
        if whole_until is not None:
            self._expected_until = min(self._expected_until, whole_until)

    def left_until(self, later: _Reading) -> int:
        """Count the jobs that were queued here and are so no more, be it that they were queued anew."""
        return len(set(self.turns).difference(later.turns))

    def shows_that_it_left(self, turn: _Turn) -> bool:
        """Tell whether a job was queued so early that it would be here: who asks shows it as it once was."""
        at = bisect_left(self.turns, turn)
        is_here = at < len(self.turns) and self.turns[at] == turn
        return not is_here and turn[0] <= self._expected_until

    def place(self, turn: _Turn, rate: ServiceRate) -> Place:
        """Return the place of a job; where the reading ends before it, the least that can be ahead of it."""
        ahead = bisect_left(self.turns, turn)
        is_least = self.whole_until is not None and turn[0] > self.whole_until
        return Place(ahead=ahead, eta_seconds=None if is_least else rate.eta_seconds(ahead))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    version: int
    place: Place


class QueueWatch:
    """Reads the queue every few seconds while somebody who is connected here has a job in it, and tells what changed.

    Whether anybody has is known from those who come, from whoever asks for a ``place_of``, and from the last reading.
    ``failed`` is done when it died by itself: the process must stop then.
    """

    def __init__(
        self, table: JobReader, *, every_seconds: float = 5, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._table = table
        self._every_seconds = every_seconds
        self._monotonic = monotonic
        self._watched: Callable[[], AbstractSet[UserId]] = frozenset
        self._tell: Callable[[QueuePlace], None] = _tell_nobody
        self._known: AbstractSet[UserId] = frozenset()
        self._noted: set[UserId] = set()
        self._waiting: AbstractSet[UserId] = frozenset()
        self._rate = ServiceRate()
        self._reading: _Reading | None = None
        self._looked_at = monotonic()
        self._told: dict[_Turn, _Told] = {}
        self._task: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, watched: Callable[[], AbstractSet[UserId]], tell: Callable[[QueuePlace], None]) -> None:
        """Begin to look. ``watched`` names the users who are connected here, ``tell`` tells them; neither may wait."""
        self._watched, self._tell = watched, tell
        self._task = asyncio.create_task(self._run(), name="queue watch")
        self._task.add_done_callback(self._note_death)

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def place_of(self, job: Job) -> Place | None:
        """Return where the job stood a few seconds ago; None if it is not queued, or nobody has looked.

        That somebody asks also says that the job's owner has one in the queue.
        """
        if job.status is not Status.QUEUED:
            return None
        if job.user_id in self._watched():
            self._noted.add(job.user_id)
        reading = self._reading
        if reading is None or self._monotonic() - reading.at > _STALE_AFTER * self._every_seconds:
            return None
        turn = (job.updated_at, job.job_id)
        return None if reading.shows_that_it_left(turn) else reading.place(turn, self._rate)

    async def look(self) -> None:
        """Read the queue once, unless nobody here waits in it, and tell them what has changed. Raises CloudUnavailable."""
        watched = frozenset(self._watched())
        noted = (self._noted | (watched - self._known)) & watched
        self._known, self._noted = watched, set()
        if not noted and not self._waiting & watched:
            self._waiting, self._reading = frozenset(), None
            self._told.clear()
            return
        # Kept for one more reading: the index may lag behind what made us look.
        self._waiting |= noted
        reading = await self._read()
        self._measure(reading)
        here = [row for row in reading.rows if row.user_id in watched]
        # In a queue too long to be read whole, their jobs may stand further behind.
        rest = frozenset[UserId]() if reading.whole_until is None else self._waiting
        self._waiting = noted.union(rest, (row.user_id for row in here))
        await self._tell_changes(here, reading)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            try:
                await self.look()
            except CloudUnavailable:
                logger.warning("The queue cannot be read", extra={"action": "look_later"})
            except Exception:
                # A row that breaks this would break every process, and none of them needs it to do its work.
                logger.exception("A look at the queue broke", extra={"action": "look_broke"})

    async def _read(self) -> _Reading:
        rows: list[Unfinished] = []
        ends: list[int] = []
        began_at = clock.now_milliseconds()
        for shard in range(STATUS_SHARDS):
            found, is_cut = await self._read_shard(shard)
            rows += found
            if is_cut:
                ends.append(found[-1].updated_at)
        return _Reading(rows, min(ends, default=None), self._monotonic(), began_at)

    async def _read_shard(self, shard: int) -> tuple[list[Unfinished], bool]:
        found: list[Unfinished] = []
        # Other tasks' clocks may be ahead of ours.
        before = clock.now_milliseconds() + clock.DAY_SECONDS * 1000
        most = ROWS // STATUS_SHARDS
        async for row in self._table.unfinished_before(Status.QUEUED, shard, before, at_a_time=most):
            found.append(row)
            if len(found) >= most:
                return found, True
        return found, False

    def _measure(self, reading: _Reading) -> None:
        before, seconds = self._reading, reading.at - self._looked_at
        if before is None:
            self._rate.fade(seconds)
        else:
            left = before.left_until(reading)
            self._rate.note(left, seconds, ran_dry=left == len(before.rows))
        self._reading, self._looked_at = reading, reading.at

    async def _tell_changes(self, rows: Collection[Unfinished], reading: _Reading) -> None:
        turns = {_turn(row) for row in rows}
        self._told = {turn: told for turn, told in self._told.items() if turn in turns}
        first_looks = 0
        for row in rows:
            turn = _turn(row)
            told, place = self._told.get(turn), reading.place(turn, self._rate)
            if told is not None and not place.differs_materially(told.place):
                continue
            version = told.version if told is not None else None
            if version is None:
                first_looks += 1
                if first_looks > _FIRST_LOOKS:
                    continue  # theirs is the next reading
                version = await self._version_of(row)
            if version is not None:
                self._told[turn] = _Told(version=version, place=place)
                self._tell(_queue_place(row, version, place))
                await asyncio.sleep(0)  # thousands at a stretch would be felt

    async def _version_of(self, row: Unfinished) -> int | None:
        """Read the version of a job that is told of for the first time, for the index has none; None if it waits no more."""
        try:
            job = await self._table.get(row.job_id)
        except JobNotFound:
            return None
        return job.version if (job.status, job.updated_at) == (Status.QUEUED, row.updated_at) else None

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            logger.critical("The queue watch died", exc_info=error, extra={"action": "queue_watch_died"})
            self.failed.set_result(None)


def _turn(row: Unfinished) -> _Turn:
    return row.updated_at, row.job_id


def _queue_place(row: Unfinished, version: int, place: Place) -> QueuePlace:
    at = clock.now_milliseconds()
    return QueuePlace(job_id=row.job_id, user_id=row.user_id, version=version, place=place, at=at)


def _tell_nobody(_: QueuePlace) -> None:
    """Tell nobody: it has not been started."""
