"""How many of one user's jobs there are, how many of them fly, and how the others get their turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from jobs import clock, moves
from jobs.admission import Admission
from jobs.control import CancelOutcome
from jobs.errors import LostClaim, QuotaExceeded, TooManyJobs
from jobs.events import Deliver, InProcessBus, JobEvent, Notice
from jobs.ids import JobId, UserId
from jobs.job_table import Limits
from jobs.model import Charge, Job, Status
from jobs.submission import Submitted
from tests.aws_faults import AnswersLost, HeldBack, RefusesCalls
from tests.jobs.ground import Counts, Ground, request_of
from tests.jobs.mishaps import held_back, overtaken
from tests.jobs.story import claim, complete

PATIENCE_SECONDS = 5
TWO_FLY = Limits(daily=100, unfinished=5, in_flight=2)
ONE_FLIES = Limits(daily=100, in_flight=1)


async def submit(ground: Ground, user: UserId, count: int, limits: Limits = TWO_FLY) -> list[Job]:
    """Submit so many jobs, one after the other."""
    return [(await ground.submission(limits).submit(request_of(user))).job for _ in range(count)]


async def end(ground: Ground, job: Job) -> Job:
    """Do a job."""
    return await complete(ground.table, await claim(ground.table, job))


async def admit(ground: Ground, user: UserId, limits: Limits = TWO_FLY) -> bool:
    """Send what may be sent."""
    return await ground.submission(limits).admit(user)


def ids(*jobs: Job) -> list[JobId]:
    """Name jobs."""
    return [job.job_id for job in jobs]


async def test_the_third_job_waits_and_is_not_in_the_queue(ground: Ground, user: UserId) -> None:
    """Two fly; the third is stored, its unit taken but not charged."""
    first, second, third = await submit(ground, user, 3)

    assert [False, False, True] == [job.waiting for job in (first, second, third)]
    assert (Status.PENDING, Charge.TAKEN) == (third.status, third.charge)
    assert third == await ground.table.get(third.job_id)
    assert Counts(3, 2) == await ground.counts(user)
    assert (3, 2) == await ground.usage(user)
    assert ids(first, second) == await ground.messages()


async def test_the_sixth_job_is_refused_and_takes_nothing(ground: Ground, user: UserId) -> None:
    """Five may be unfinished, flying or not."""
    await submit(ground, user, 5)
    with pytest.raises(TooManyJobs) as caught:
        await submit(ground, user, 1)

    assert 5 == caught.value.most
    assert Counts(5, 2) == await ground.counts(user)
    assert (5, 2) == await ground.usage(user)


async def test_a_limit_of_nothing_lets_nothing_in(ground: Ground, user: UserId) -> None:
    """Not even the first job of a user nobody has seen."""
    with pytest.raises(QuotaExceeded):
        await submit(ground, user, 1, Limits(daily=0))


async def test_an_end_makes_room_for_exactly_one_the_oldest(ground: Ground, user: UserId) -> None:
    """It is charged when it is sent."""
    first, _, third, fourth = await submit(ground, user, 4)
    await ground.messages()
    await end(ground, first)
    await admit(ground, user)

    assert ids(third) == await ground.messages()
    assert (Status.QUEUED, Charge.CHARGED) == ((await ground.table.get(third.job_id)).status, Charge.CHARGED)
    assert fourth == await ground.table.get(fourth.job_id)
    assert Counts(3, 2, 1) == await ground.counts(user)
    assert (4, 3) == await ground.usage(user)


async def test_nothing_is_admitted_while_there_is_no_room(ground: Ground, user: UserId) -> None:
    """Asking is free."""
    jobs = await submit(ground, user, 3)

    assert await admit(ground, user)
    assert ids(*jobs[:2]) == await ground.messages()
    assert Counts(3, 2) == await ground.counts(user)


async def test_who_has_nothing_waiting_is_told_so(ground: Ground, user: UserId) -> None:
    """The watch over that user may end."""
    await submit(ground, user, 2)

    assert not await admit(ground, user)


async def test_two_ends_at_once_let_two_fly_and_no_more(ground: Ground, user: UserId) -> None:
    """Each end is noticed by a process of its own, and both look at the same waiting jobs."""
    first, second, *waiting = await submit(ground, user, 5)
    await ground.messages()
    await asyncio.gather(end(ground, first), end(ground, second))
    await asyncio.gather(admit(ground, user), admit(ground, user))

    assert ids(*waiting[:2]) == sorted(await ground.messages())
    assert Counts(3, 2, 2) == await ground.counts(user)


async def test_two_processes_that_admit_the_same_job_count_and_send_it_once(ground: Ground, user: UserId) -> None:
    """Both have read it before either writes, and there is room for two."""
    first, second, third = await submit(ground, user, 3)
    await end(ground, first)
    await end(ground, second)
    await ground.messages()
    await ground.table.apply(third, moves.admitted(2))

    with pytest.raises(LostClaim):
        await ground.table.apply(third, moves.admitted(2))
    assert Counts(1, 1, 2) == await ground.counts(user)


async def test_an_admission_whose_answer_was_lost_counts_once(ground: Ground, user: UserId) -> None:
    """The second attempt finds the first one's write, and the job is sent."""
    first, second, third = await submit(ground, user, 3)
    await end(ground, first)
    await end(ground, second)
    await ground.messages()
    await ground.on(AnswersLost(ground.clients.dynamodb, 1)).submission(TWO_FLY).admit(user)

    assert Counts(1, 1, 2) == await ground.counts(user)
    assert ids(third) == await ground.messages()


async def test_an_admission_into_the_last_place_whose_answer_was_lost_is_sent(ground: Ground, user: UserId) -> None:
    """The second attempt finds no room, because the first one took it."""
    first, _, third = await submit(ground, user, 3)
    await end(ground, first)
    await ground.messages()
    await ground.on(AnswersLost(ground.clients.dynamodb, 1)).submission(TWO_FLY).admit(user)

    assert Counts(2, 2, 1) == await ground.counts(user)
    assert ids(third) == await ground.messages()


async def test_a_waiting_job_that_is_canceled_leaves_the_flying_ones_alone(ground: Ground, user: UserId) -> None:
    """Its unit comes back; nobody is admitted in its place, and it is not sent later."""
    first, second, third = await submit(ground, user, 3)
    canceled = await ground.control().cancel(third)
    await admit(ground, user)

    assert (CancelOutcome.BEFORE_START, True) == (canceled.outcome, canceled.given_back)
    assert Counts(2, 2) == await ground.counts(user)
    assert (2, 2) == await ground.usage(user)
    assert ids(first, second) == await ground.messages()


async def test_a_job_that_is_admitted_while_it_is_canceled_is_counted_out(ground: Ground, user: UserId) -> None:
    """The cancel saw it waiting; by the time it writes the job may fly, though it is not sent yet."""
    first, _, third = await submit(ground, user, 3)
    await end(ground, first)
    await ground.table.apply(third, moves.admitted(TWO_FLY.in_flight))
    canceled = await ground.control().cancel(third)

    assert canceled.given_back
    assert Counts(1, 1, 1) == await ground.counts(user)
    assert (2, 2) == await ground.usage(user)


async def test_a_job_that_is_canceled_while_it_is_admitted_is_not_sent(ground: Ground, user: UserId) -> None:
    """The admission saw it waiting; by the time it writes the job is over."""
    first, _, third = await submit(ground, user, 3)
    await end(ground, first)
    await ground.messages()
    slow = held_back(ground)
    admitting = ground.on(slow).submission(TWO_FLY).admit(user)
    result = await overtaken(slow, admitting, ground.control().cancel(third))

    assert isinstance(result, bool)
    assert Counts(1, 1, 1) == await ground.counts(user)
    assert [] == await ground.messages()


async def test_a_newer_job_overtakes_none_that_waits(ground: Ground, user: UserId) -> None:
    """A place is free because nobody has admitted anyone into it yet; it is given to the oldest."""
    first, second, third = await submit(ground, user, 3)
    await end(ground, first)
    (fourth,) = await submit(ground, user, 1)

    assert fourth.waiting
    assert ids(first, second, third) == await ground.messages()
    assert Status.QUEUED is (await ground.table.get(third.job_id)).status
    assert Counts(3, 2, 1) == await ground.counts(user)
    assert (4, 3) == await ground.usage(user)


async def test_a_newer_job_flies_with_those_that_waited_where_there_is_room_for_all(
    ground: Ground, user: UserId
) -> None:
    """It is answered as it is then."""
    first, second, third = await submit(ground, user, 3)
    await end(ground, first)
    await end(ground, second)
    await ground.messages()
    (fourth,) = await submit(ground, user, 1)

    assert (False, Status.QUEUED) == (fourth.waiting, fourth.status)
    assert ids(third, fourth) == await ground.messages()
    assert Counts(2, 2, 2) == await ground.counts(user)
    assert (4, 4) == await ground.usage(user)


class SlowIndex(HeldBack):
    """Holds back the storing of jobs that wait, and has no index of them yet."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, only=stores_waiting)

    async def query(self, **arguments: Any) -> Any:
        """Find nothing."""
        return await self._client.query(**arguments) | {"Items": []}


def stores_waiting(actions: Any) -> bool:
    """Tell whether these store a job that waits."""
    return "waitingUser" in actions[0].get("Put", {}).get("Item", {})


async def test_a_place_that_becomes_free_while_a_job_is_stored_to_wait_is_its_own(ground: Ground, user: UserId) -> None:
    """It was full when it was asked, and the end of a job was noticed by nobody; the index does not show the new one yet."""
    first, _ = await submit(ground, user, 2)
    slow = SlowIndex(ground.clients.dynamodb)
    result = await overtaken(slow, submit(ground.on(slow), user, 1), end(ground, first))

    assert isinstance(result, list)
    assert [(False, Status.QUEUED)] == [(job.waiting, job.status) for job in result]
    assert ids(*result) == (await ground.messages())[2:]
    assert Counts(2, 2, 1) == await ground.counts(user)


async def test_a_job_that_waits_is_accepted_though_nobody_can_be_admitted(ground: Ground, user: UserId) -> None:
    """It is stored, and its turn comes later."""
    await submit(ground, user, 2)
    refuses = RefusesCalls(ground.clients.dynamodb, "get_item", 0)
    there = ground.on(refuses)
    await there.table.users.own_limit(user)
    refuses.left = 1
    (third,) = await submit(there, user, 1)

    assert third.waiting
    assert third == await ground.table.get(third.job_id)


async def test_a_job_that_must_wait_is_told_of_at_once(ground: Ground, user: UserId) -> None:
    """In the log and to those who watch; one that flies is told when it is queued."""
    seen: list[Notice] = []
    ground.bus.subscribe(user, seen.append)
    first, _, third = await submit(ground, user, 3)

    assert [third] == [event.job for event in seen[-1:] if isinstance(event, JobEvent)]
    assert ["job.queued"] == await ground.events(first)
    assert ["job.pending"] == await ground.events(third)
    await end(ground, first)
    await admit(ground, user)
    assert ["job.pending", "job.queued"] == await ground.events(third)


async def test_parallel_submissions_pass_neither_limit(ground: Ground, user: UserId) -> None:
    """Twenty requests race for five places, two of them in flight."""
    submission = ground.submission(TWO_FLY)
    results = await asyncio.gather(*(submission.submit(request_of(user)) for _ in range(20)), return_exceptions=True)
    jobs = [result.job for result in results if isinstance(result, Submitted)]
    flying = [job for job in jobs if not job.waiting]

    assert 15 == sum(isinstance(result, TooManyJobs) for result in results)
    assert (5, 2) == (len(jobs), len(flying))
    assert Counts(5, 2) == await ground.counts(user)
    assert (5, 2) == await ground.usage(user)
    assert sorted(ids(*flying)) == sorted(await ground.messages())


async def test_a_stored_job_that_waits_costs_another_user_nothing(ground: Ground, user: UserId) -> None:
    """The limits are each user's own."""
    await submit(ground, user, 3)
    (other,) = await submit(ground, UserId(f"{user}-2"), 1)

    assert not other.waiting


class WatchedBus(InProcessBus):
    """Tells when a watcher leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.left = asyncio.Event()

    def subscribe(self, user_id: UserId, deliver: Deliver) -> Callable[[], None]:
        """Subscribe, and notice the end of it."""
        unsubscribe = super().subscribe(user_id, deliver)

        def leave() -> None:
            unsubscribe()
            self.left.set()

        return leave


class Queued:
    """Waits for jobs to be queued."""

    def __init__(self, bus: InProcessBus, user: UserId) -> None:
        self._jobs: asyncio.Queue[JobId] = asyncio.Queue()
        bus.subscribe(user, self._note)

    def _note(self, notice: Notice) -> None:
        if isinstance(notice, JobEvent) and notice.type == "job.queued":
            self._jobs.put_nowait(notice.job.job_id)

    async def next(self) -> JobId:
        """Return the next one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._jobs.get()


@pytest.fixture
async def admission(ground: Ground) -> AsyncIterator[Admission]:
    """Run the admission; one job of each user may fly."""
    running = Admission(ground.submission(ONE_FLIES), ground.bus)
    running.start()
    yield running
    await running.stop()


async def test_waiting_jobs_are_sent_one_by_one_as_those_before_them_end(
    ground: Ground, user: UserId, admission: Admission
) -> None:
    """In the order in which they were submitted."""
    queued = Queued(ground.bus, user)
    jobs = await submit(ground, user, 4, ONE_FLIES)
    admission.watch(user)
    for job in jobs:
        assert job.job_id == await queued.next()
        assert 1 == (await ground.counts(user)).in_flight
        await end(ground, await ground.table.get(job.job_id))

    assert Counts(0, 0, 4) == await ground.counts(user)
    assert (4, 4) == await ground.usage(user)
    assert ids(*jobs) == await ground.messages()


async def test_a_user_with_nothing_waiting_is_watched_no_more(ground: Ground, user: UserId) -> None:
    """Else every user ever seen would be."""
    bus = WatchedBus()
    admission = Admission(ground.submission(ONE_FLIES), bus)
    admission.start()
    await submit(ground, user, 1, ONE_FLIES)
    admission.watch(user)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await bus.left.wait()
    await admission.stop()

    assert not admission.failed.done()


async def test_stopping_leaves_no_watcher_behind(ground: Ground, user: UserId) -> None:
    """Jobs still wait; another process sends them."""
    bus = WatchedBus()
    admission = Admission(ground.submission(ONE_FLIES), bus)
    await submit(ground, user, 2, ONE_FLIES)
    admission.start()
    admission.watch(user)
    await admission.stop()

    assert bus.left.is_set()


class LateAnswer:
    """Holds back the answer of each single read until ``go`` is set."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def get_item(self, **arguments: Any) -> Any:
        """Read at once, answer late."""
        answer = await self._client.get_item(**arguments)
        self.reached.set()
        await self.go.wait()
        return answer


async def test_a_job_that_begins_to_wait_while_nobody_is_found_waiting_is_not_forgotten(
    ground: Ground, user: UserId
) -> None:
    """The look at the user's row came just before the job, the decision to watch no more just after it."""
    (flying,) = await submit(ground, user, 1, ONE_FLIES)
    queued = Queued(ground.bus, user)
    slow = LateAnswer(ground.clients.dynamodb)
    admission = Admission(ground.on(slow).submission(ONE_FLIES), ground.bus)
    admission.start()
    admission.watch(user)
    await slow.reached.wait()
    (waiting,) = await submit(ground, user, 1, ONE_FLIES)
    admission.watch(user)
    slow.go.set()
    await end(ground, flying)
    try:
        assert waiting.job_id == await queued.next()
    finally:
        await admission.stop()


async def test_what_the_admission_missed_the_sweeper_sends(ground: Ground, user: UserId) -> None:
    """The job before it ended in a process that died then."""
    first, second = await submit(ground, user, 2, ONE_FLIES)
    await ground.messages()
    await end(ground, first)
    long_ago = clock.iso(clock.now_milliseconds() - 60_000)
    await ground.clients.dynamodb.update_item(
        TableName=ground.tables.jobs,
        Key={"jobId": second.job_id},
        UpdateExpression="SET updatedAt = :then",
        ExpressionAttributeValues={":then": long_ago},
    )
    await ground.sweeper(limits=ONE_FLIES).sweep()

    assert ids(second) == await ground.messages()
    assert Counts(1, 1, 1) == await ground.counts(user)
    assert (2, 2) == await ground.usage(user)
