"""Where queued jobs stand, read from the embedded cloud: what is told, to whom, and when nothing is read at all."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from unittest.mock import ANY

import pytest

from jobs import clock, moves, queue_place
from jobs.errors import CloudUnavailable
from jobs.ids import JobId, UserId
from jobs.job_reader import JobReader, Unfinished
from jobs.model import Job, Status
from jobs.queue_place import Place, QueuePlace, QueueWatch, ServiceRate
from tests.jobs.ground import Ground, request_of
from tests.jobs.story import claim, stored

EVERY_SECONDS = 5.0


class CountingReader(JobReader):
    """A reader that counts how often the queue was read, and a job alone."""

    readings = 0
    gets = 0
    is_gone = False

    async def unfinished_before(
        self, status: Status, shard: int, updated_before: int, *, at_a_time: int | None = None
    ) -> AsyncIterator[Unfinished]:
        if self.is_gone:
            raise CloudUnavailable
        self.readings += shard == 0
        async for row in super().unfinished_before(status, shard, updated_before, at_a_time=at_a_time):
            yield row

    async def get(self, job_id: JobId) -> Job:
        self.gets += 1
        return await super().get(job_id)


@dataclass(slots=True)
class Time:
    """Seconds that pass when a test says so."""

    now: float = 0.0


@dataclass(slots=True, kw_only=True)
class Stand:
    """A watch that looks when it is told to, on a clock that moves when it is told to."""

    ground: Ground
    reader: CountingReader
    watch: QueueWatch
    time: Time
    watched: set[UserId]
    other: UserId
    told: list[QueuePlace] = field(default_factory=list)

    async def look(self, *, after_seconds: float = EVERY_SECONDS) -> list[QueuePlace]:
        """Let time pass, look, and return what is told."""
        self.time.now += after_seconds
        self.told.clear()
        await self.watch.look()
        return list(self.told)

    async def submit(self, user: UserId, count: int = 1) -> list[Job]:
        """Put so many jobs into the queue, one after the other."""
        return [(await self.ground.submission().submit(request_of(user))).job for _ in range(count)]

    async def take(self, *jobs: Job) -> None:
        """Begin to work on jobs."""
        for job in jobs:
            await claim(self.ground.table, job)


@pytest.fixture
async def stand(ground: Ground, user: UserId) -> Stand:
    """Watch an empty queue for one user who is connected; another one is not."""
    reader, time = CountingReader(ground.clients.dynamodb, ground.tables), Time()
    watch = QueueWatch(reader, every_seconds=EVERY_SECONDS, monotonic=lambda: time.now)
    stand = Stand(ground=ground, reader=reader, watch=watch, time=time, watched={user}, other=UserId(str(uuid.uuid4())))
    # Not started: it looks when a test says so.
    watch._watched, watch._tell = lambda: stand.watched, stand.told.append
    return stand


def ahead(told: list[QueuePlace]) -> dict[JobId, int]:
    """Return how many are ahead of each job that was told of."""
    return {place.job_id: place.place.ahead for place in told}


async def test_a_job_is_told_how_many_are_before_it_whoever_they_belong_to(stand: Stand, user: UserId) -> None:
    """What was queued first is first; whose it is counts for nothing, and only those who are connected are told."""
    (first,) = await stand.submit(user)
    await stand.submit(stand.other, 2)
    (last,) = await stand.submit(user)
    told = await stand.look()

    assert {first.job_id: 0, last.job_id: 3} == ahead(told)
    assert told[1] == QueuePlace(
        job_id=last.job_id,
        user_id=user,
        version=last.version,
        place=Place(ahead=3, eta_seconds=None),
        at=ANY,
    )


async def test_the_time_is_unknown_until_enough_jobs_were_seen_to_leave(stand: Stand, user: UserId) -> None:
    """Four leave in five seconds; two are left before ours, which is the third to go."""
    others = await stand.submit(stand.other, 6)
    (ours,) = await stand.submit(user)
    (before,) = await stand.look()
    await stand.take(*others[:4])
    (after,) = await stand.look()

    assert Place(ahead=6, eta_seconds=None) == before.place
    assert Place(ahead=2, eta_seconds=5) == after.place
    assert after.place == stand.watch.place_of(ours)


async def test_nothing_is_told_while_nothing_material_changes(stand: Stand, user: UserId) -> None:
    """One in thirty is not material, three more are; and a job is looked at by itself once only."""
    others = await stand.submit(stand.other, 30)
    await stand.submit(user)
    await stand.look()
    silent = [await stand.look()]
    await stand.take(others[0])
    silent.append(await stand.look())
    await stand.take(others[1], others[2])
    (told,) = await stand.look()

    assert [[], []] == silent
    assert 27 == told.place.ahead
    assert 1 == stand.reader.gets


async def test_nothing_is_read_while_nobody_who_is_connected_waits(stand: Stand, user: UserId) -> None:
    """Those who come are looked for, and once more, for the index may lag; others' jobs are no reason to read."""
    await stand.submit(stand.other)
    for _ in range(4):
        await stand.look()
    of_the_newcomer = stand.reader.readings
    stand.watched.clear()
    await stand.look()
    (job,) = await stand.submit(user)
    await stand.look()

    assert 2 == of_the_newcomer
    assert of_the_newcomer == stand.reader.readings
    assert stand.watch.place_of(job) is None


async def test_a_job_that_is_shown_wakes_the_watch(stand: Stand, user: UserId) -> None:
    """Whoever writes the event that a job is queued asks where it stands."""
    for _ in range(3):
        await stand.look()
    (job,) = await stand.submit(user)
    unknown = stand.watch.place_of(job)
    told = await stand.look()

    assert unknown is None
    assert {job.job_id: 0} == ahead(told)
    assert Place(ahead=0, eta_seconds=None) == stand.watch.place_of(job)


async def test_a_job_that_was_queued_since_is_behind_all_that_were_read(stand: Stand, user: UserId) -> None:
    """Its event need not wait for the next reading."""
    await stand.submit(user, 3)
    await stand.look()
    (newest,) = await stand.submit(user)

    assert Place(ahead=3, eta_seconds=None) == stand.watch.place_of(newest)


async def test_a_job_at_work_has_no_place(stand: Stand, user: UserId) -> None:
    """And nothing more is told of it, nor is it looked for."""
    jobs = await stand.submit(user, 2)
    await stand.look()
    running = await claim(stand.ground.table, jobs[0])
    told = await stand.look()

    assert stand.watch.place_of(running) is None
    assert {jobs[1].job_id: 0} == ahead(told)


async def test_a_job_that_is_shown_as_it_once_was_has_no_place(stand: Stand, user: UserId) -> None:
    """A client that resumes is told, among others, that a job was queued which is so no more."""
    job = await stored(stand.ground.table, user, age_seconds=60)
    await stand.look()
    queued = stand.watch.place_of(job)
    await stand.take(job)
    await stand.look()

    assert [Place(ahead=0, eta_seconds=None), None] == [queued, stand.watch.place_of(job)]


async def test_a_job_that_was_taken_since_the_index_saw_it_is_not_told_of(stand: Stand, user: UserId) -> None:
    """Interleaving: the index is read, a worker claims the job, the job is looked at for its version."""
    (job,) = await stand.submit(user)

    class Overtaken(CountingReader):
        async def get(self, job_id: JobId) -> Job:
            await stand.take(job)
            return await super().get(job_id)

    stand.watch._table = Overtaken(stand.ground.clients.dynamodb, stand.ground.tables)

    assert [] == await stand.look()


async def test_a_job_that_comes_back_stands_at_the_end_under_its_new_version(stand: Stand, user: UserId) -> None:
    """A try that failed has left the queue, and the job is queued anew."""
    first, second = await stand.submit(user, 2)
    await stand.look()
    running = await claim(stand.ground.table, first)
    back = await stand.ground.table.apply(running, moves.released("me", clock.now_milliseconds()))
    told = await stand.look()

    assert {second.job_id: 0, first.job_id: 1} == ahead(told)
    assert back.version == told[-1].version


async def test_a_place_that_is_too_old_is_not_told(stand: Stand, user: UserId) -> None:
    """While the table cannot be read, what is known grows old; then it is told once more what has changed."""
    (job,) = await stand.submit(user)
    await stand.look()
    stand.reader.is_gone = True
    with pytest.raises(CloudUnavailable):
        await stand.look(after_seconds=2 * EVERY_SECONDS)
    young = stand.watch.place_of(job)
    stand.time.now += 2 * EVERY_SECONDS
    old = stand.watch.place_of(job)
    stand.reader.is_gone = False
    await stand.look()

    assert [Place(ahead=0, eta_seconds=None), None] == [young, old]
    assert stand.watch.place_of(job) is not None


async def test_of_a_queue_too_long_to_read_the_least_is_told(
    stand: Stand, user: UserId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest of each part are read; behind the end of one, what is ahead is a floor and the time unknown."""
    monkeypatch.setattr(queue_place, "ROWS", 8)
    await stand.submit(stand.other, 24)
    (ours,) = await stand.submit(user)
    await stand.look()
    stand.watch._rate.note(50, 5, ran_dry=False)
    place = stand.watch.place_of(ours)

    assert place is not None
    assert place.ahead <= 8
    assert place.eta_seconds is None
    await stand.look()
    await stand.look()
    await stand.look()
    assert 4 == stand.reader.readings  # ours may stand behind what is read: it is not given up


async def test_it_looks_by_itself_and_survives_what_breaks(
    ground: Ground, user: UserId, caplog: pytest.LogCaptureFixture
) -> None:
    """A cloud that is gone and a bug cost a reading each."""
    errors: list[Exception] = [CloudUnavailable(), ValueError("a bug")]
    heard: list[QueuePlace] = []

    class Failing(JobReader):
        async def unfinished_before(
            self, status: Status, shard: int, updated_before: int, *, at_a_time: int | None = None
        ) -> AsyncIterator[Unfinished]:
            if errors:
                raise errors.pop(0)
            async for row in super().unfinished_before(status, shard, updated_before, at_a_time=at_a_time):
                yield row

    await ground.submission().submit(request_of(user))
    watch = QueueWatch(Failing(ground.clients.dynamodb, ground.tables), every_seconds=0.02)
    told = asyncio.Event()

    def tell(place: QueuePlace) -> None:
        heard.append(place)
        told.set()

    watch.start(lambda: {user}, tell)
    await told.wait()
    await watch.stop()

    assert [0] == [place.place.ahead for place in heard]
    assert "The queue cannot be read" in caplog.text
    assert "A look at the queue broke" in caplog.text
    assert not watch.failed.done()


def test_a_rate_needs_enough_jobs_and_forgets() -> None:
    """Two are too few; a minute counts for most, and what was long ago for nothing."""
    rate = ServiceRate()
    rate.note(2, 5, ran_dry=False)
    unknown = rate.eta_seconds(0)
    rate.note(8, 5, ran_dry=False)
    known = rate.per_second
    rate.fade(600)

    assert unknown is None
    assert known == pytest.approx(1, rel=0.1)
    assert rate.per_second is None


def test_a_queue_that_ran_dry_only_shows_that_work_is_at_least_so_fast() -> None:
    """Few left because there were few: that neither slows a known rate nor makes an unknown one known."""
    unknown, known = ServiceRate(), ServiceRate()
    unknown.note(20, 5, ran_dry=True)
    known.note(50, 5, ran_dry=False)
    known.note(1, 5, ran_dry=True)
    unchanged = known.per_second
    known.note(100, 5, ran_dry=True)

    assert unknown.per_second is None
    assert unchanged == pytest.approx(10)
    assert (known.per_second or 0) > 14


@pytest.mark.parametrize(("ahead", "seconds"), [(0, 1), (19, 10), (20, 15), (100, 60), (5000, 2700), (10_000, None)])
def test_a_time_is_rounded_up_to_what_can_be_known(ahead: int, seconds: int | None) -> None:
    """At two jobs a second; beyond an hour nobody knows."""
    rate = ServiceRate()
    rate.note(10, 5, ran_dry=False)

    assert seconds == rate.eta_seconds(ahead)


def test_a_place_is_written_for_clients() -> None:
    """What is not known is absent."""
    assert {"ahead": 1} == queue_place.view(Place(ahead=1, eta_seconds=None))
    assert {"ahead": 1200, "etaSeconds": 60} == queue_place.view(Place(ahead=1200, eta_seconds=60))
    assert ["Next in the queue", "Behind 1 other job in the queue", "Behind 1,200 other jobs in the queue"] == [
        Place(ahead=ahead, eta_seconds=None).message for ahead in (0, 1, 1200)
    ]
