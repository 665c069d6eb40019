"""A user's account: its own limit, blocked, and erased to the last row, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from jobs import clock, moves
from jobs.errors import AccountErasing, JobEnded, JobNotFound, LostClaim, QuotaExceeded, UserBlocked
from jobs.events import ACCOUNT_ERASED, JobEvent, Notice, UserEvent
from jobs.ids import UserId
from jobs.model import Charge, Status
from jobs.parking import PARKED_SECONDS
from jobs.parking_reports import ReportNotFound
from jobs.upload_events import read_key
from jobs.user_table import UserTable
from tests.aws_faults import RefusesCalls
from tests.jobs import original
from tests.jobs.estate import Estate
from tests.jobs.ground import PLENTY, Counts, Ground, request_of
from tests.jobs.parking_lot import span
from tests.jobs.story import claim, complete, new_job, stored

ENDED = {"USERS_TABLE": 1}
"""What an erased user leaves behind: a row that says when."""
LEFT = {"USAGE_LOG_TABLE": 1, **ENDED}
"""And the count of today."""


@pytest.fixture
def other() -> UserId:
    """Name another user nobody has seen."""
    return UserId(str(uuid4()))


class Killed(Exception):
    """What a process says that says nothing any more."""


class KillsAt:
    """Ends the process at a certain write; the ones under way beside it still land."""

    def __init__(self, client: object, writes: int) -> None:
        self._client = client
        self.left = writes

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name not in ("transact_write_items", "update_item", "put_item", "delete_item", "batch_write_item"):
            return call

        async def write(**arguments: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Killed
            return await call(**arguments)

        return write


async def test_a_users_own_limit_counts_instead_of_the_services(ground: Ground, user: UserId, other: UserId) -> None:
    """It may be less or more; without it the service's counts again, and others never notice."""
    users = ground.table.users
    await users.set_daily_limit(user, 1)
    await stored(ground.table, user)
    with pytest.raises(QuotaExceeded) as refused:
        await stored(ground.table, user)
    told = await ground.table.quota(user, 10)
    await users.set_daily_limit(user, 2)
    await stored(ground.table, user)
    raised = await ground.table.quota(user, 10)
    await users.set_daily_limit(user, None)

    assert 1 == refused.value.daily_limit
    assert (1, 1, 0) == (told.daily_limit, told.used, told.remaining)
    assert (2, 0) == (raised.daily_limit, raised.remaining)
    assert (10, 8) == ((await ground.table.quota(user, 10)).daily_limit, (await ground.table.quota(user, 10)).remaining)
    assert 10 == (await ground.table.quota(other, 10)).daily_limit
    assert (None, False) == ((await users.get(user)).daily_limit, (await users.get(user)).is_blocked)


async def test_a_limit_of_nothing_is_a_limit(ground: Ground, user: UserId) -> None:
    """0 is not None; less than 0 is refused."""
    await ground.table.users.set_daily_limit(user, 0)

    with pytest.raises(QuotaExceeded):
        await stored(ground.table, user)
    with pytest.raises(ValueError, match="0 or more"):
        await ground.table.users.set_daily_limit(user, -1)


async def test_nothing_new_starts_for_whoever_is_blocked_not_even_on_a_task_that_does_not_know(
    ground: Ground, user: UserId
) -> None:
    """The other task remembers the user as welcome; storing a job is refused by the row itself."""
    elsewhere = ground.on(ground.clients.dynamodb).table
    await elsewhere.users.check(user)
    running = await ground.running(user)
    await ground.table.users.set_blocked(user, True)
    await ground.table.users.set_blocked(user, True)

    with pytest.raises(UserBlocked):
        await elsewhere.create(new_job(user), PLENTY)
    with pytest.raises(UserBlocked):
        await ground.table.users.check(user)
    assert user in await ground.table.users.blocked()
    assert (await ground.table.users.get(user)).is_blocked
    assert Status.COMPLETED is (await complete(ground.table, running)).status
    assert (1, 1) == await ground.usage(user)

    await ground.table.users.set_blocked(user, False)
    await ground.table.users.check(user)
    await stored(elsewhere, user)
    assert user not in await ground.table.users.blocked()


async def test_what_an_operator_said_is_read_once_in_a_while(ground: Ground, user: UserId) -> None:
    """Requests in a row cost one read of the limit, and one for all users of who is blocked; what is said here is known at once."""
    counting = CountsReads(ground.clients.dynamodb)
    users = UserTable(counting, ground.tables.users)  # type: ignore[arg-type]
    for _ in range(5):
        await users.own_limit(user)
        await users.check(user)
        await users.check(UserId(f"{user}-2"))
    once = counting.reads
    await users.set_daily_limit(user, 3)
    await users.set_blocked(user, True)

    assert 2 == once
    assert 3 == await users.own_limit(user)
    with pytest.raises(UserBlocked):
        await users.check(user)


async def test_all_who_ask_at_once_hear_the_same(ground: Ground, user: UserId) -> None:
    """A process that knows nothing yet lets nobody slip in while it looks."""
    await ground.table.users.set_blocked(user, True)
    users = UserTable(ground.clients.dynamodb, ground.tables.users)
    answers = await asyncio.gather(*(users.check(user) for _ in range(5)), return_exceptions=True)

    assert [UserBlocked] * 5 == [type(answer) for answer in answers]


async def test_whoever_is_welcome_stays_so_while_it_cannot_be_read_who_is_not(ground: Ground, user: UserId) -> None:
    """Whatever AWS says; it is not asked again at once, and what was known holds."""
    refusing = RefusesCalls(ground.clients.dynamodb, "get_item", 0)
    users = UserTable(refusing, ground.tables.users)  # type: ignore[arg-type]
    refusing.left = 1
    await users.check(user)
    await users.check(user)

    assert 0 == refusing.left


class CountsReads:
    """Counts the rows that are read."""

    def __init__(self, client: object) -> None:
        self._client = client
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        self.reads += name == "get_item"
        return getattr(self._client, name)


async def test_everything_of_a_user_goes_and_nothing_of_another(estate: Estate, user: UserId, other: UserId) -> None:
    """Every table and both buckets are looked through for the user's name; the other's are as they were."""
    report, others = await estate.settle(user), await estate.settle(other)
    before, others_before = await estate.traces(user), await estate.traces(other)
    erased = await estate.accounts().erase(user)

    assert {"USERS_TABLE", "JOB_EVENTS_TABLE", "WEBHOOK_DELIVERIES_TABLE", "RESULT_BUCKET"} <= before.keys()
    assert (True, 3, 2, 1, 2, 1) == (
        erased.is_complete,
        erased.jobs,
        erased.files,
        erased.webhooks,
        erased.sightings,
        erased.reports,
    )
    assert LEFT == await estate.traces(user)
    with pytest.raises(ReportNotFound):
        await estate.lot.reports().get(report.report_id, user)
    assert (0, 2) == (await estate.copies(report), await estate.copies(others))
    assert others_before == await estate.traces(other)
    assert others == await estate.lot.reports().get(others.report_id, other)


async def test_erasing_nothing_is_no_error(estate: Estate, user: UserId) -> None:
    """A second time, or without ever having been here."""
    await estate.settle(user)
    await estate.accounts().erase(user)
    again = await estate.accounts().erase(user)

    assert (True, 0, 0, 0) == (again.is_complete, again.jobs, again.files, again.events)
    assert LEFT == await estate.traces(user)


async def test_an_erasure_that_is_killed_over_and_over_comes_to_its_end(
    estate: Estate, user: UserId, other: UserId
) -> None:
    """It dies at every fourth write. Until it is finished nobody can start a job, and then nothing is left."""
    await estate.settle(user)
    await estate.settle(other)
    others = await estate.traces(other)
    deaths, is_complete = 0, False
    while not is_complete:
        try:
            is_complete = (await estate.accounts(KillsAt(estate.ground.clients.dynamodb, 4)).erase(user)).is_complete
        except Killed:
            deaths += 1
            with pytest.raises(AccountErasing):
                await stored(estate.ground.table, user)

    assert 3 <= deaths < 30
    assert LEFT == await estate.traces(user)
    assert others == await estate.traces(other)


async def test_a_worker_in_the_middle_of_a_job_writes_nothing_afterwards(estate: Estate, user: UserId) -> None:
    """Neither its result, nor a sighting, nor what it would give back."""
    job = await estate.ground.running(user)
    await estate.accounts().erase(user)

    with pytest.raises(LostClaim):
        await complete(estate.ground.table, job)
    with pytest.raises(LostClaim):
        await estate.ground.table.apply(job, moves.given_back())
    with pytest.raises(JobEnded):
        await estate.lot.record(estate.lot.sighting(user, 0, job_id=job.job_id))
    with pytest.raises(JobNotFound):
        await estate.ground.table.get(job.job_id)
    assert not await estate.ground.table.renew_lease(job.job_id, "me", clock.now_milliseconds())
    assert LEFT == await estate.traces(user)


async def test_what_the_operator_has_said_outlives_the_account(estate: Estate, user: UserId) -> None:
    """Or whoever is blocked would erase the account and come again."""
    users = estate.ground.table.users
    await estate.settle(user)
    await users.set_daily_limit(user, 2)
    await users.set_blocked(user, True)
    await estate.accounts().erase(user)
    left = await users.get(user)

    assert (True, 2, "", "", 0) == (
        left.is_blocked,
        left.daily_limit,
        left.email,
        left.created_at,
        left.total_pictures,
    )
    with pytest.raises(UserBlocked):
        await stored(estate.ground.table, user)
    await users.set_blocked(user, False)
    assert LEFT == await estate.traces(user)


@pytest.mark.parametrize("strange", [{}, {"version": 3, "status": "of a newer release"}])
async def test_what_is_not_understood_goes_too(estate: Estate, user: UserId, strange: dict[str, Any]) -> None:
    """A row that the original left, and one that a newer release has written: neither keeps an erasure from its end."""
    row = original.job(user, "paused") | strange
    await original.put(estate.ground.clients, estate.ground.tables.jobs, row)
    erased = await estate.accounts().erase(user)

    assert (True, 1) == (erased.is_complete, erased.jobs)
    assert {} == {name: count for name, count in (await estate.traces(user)).items() if name not in ENDED}
    with pytest.raises(JobNotFound):
        await estate.ground.table.get(row["jobId"])


async def test_the_days_quota_does_not_come_back(estate: Estate, user: UserId) -> None:
    """Today's count stays, and ends tomorrow; earlier days are forgotten. What was canceled is given back as always."""
    ground = estate.ground
    done = await estate.delivered(user)
    await ground.running(user)
    yesterday = clock.utc_day(clock.now_milliseconds() - 86_400_000)
    await ground.clients.dynamodb.put_item(
        TableName=ground.tables.usage,
        Item={"userIdDate": f"{user}#{yesterday}", "userId": user, "date": yesterday, "taken": 4, "count": 4},
    )
    await estate.accounts().erase(user)

    assert Charge.CHARGED is done.charge
    assert (2, 2) == await ground.usage(user)  # nobody can say that Gemini was not called for the one that ran
    assert (0, 0) == await ground.usage(user, yesterday)
    row: Any = await ground.clients.dynamodb.get_item(
        TableName=ground.tables.usage, Key={"userIdDate": f"{user}#{clock.utc_day(clock.now_milliseconds())}"}
    )
    assert row["Item"]["ttl"] < clock.now_milliseconds() // 1000 + 2 * clock.DAY_SECONDS
    await stored(ground.table, user)
    assert 7 == (await ground.table.quota(user, 10)).remaining


async def test_whoever_shares_a_report_keeps_it_without_the_others_photo(
    estate: Estate, user: UserId, other: UserId
) -> None:
    """Plate, place and times stay; the photo, its copies and the name go. The next report rests on what is left."""
    lot = estate.lot
    mine, theirs = lot.sighting(user, 0), lot.sighting(other, PARKED_SECONDS)
    await estate.record(mine)
    before = await estate.record(theirs)
    assert before is not None
    copies = await estate.copies(before)
    erased = await estate.accounts().erase(user)
    after = await lot.reports().get(before.report_id, other)

    assert (1, 1) == (erased.sightings, erased.reports)
    assert (before.version + 1, span(before), before.similarity) == (after.version, span(after), after.similarity)
    assert (None, before.last_copy, before.report_bool) == (after.first_copy, after.last_copy, after.report_bool)
    assert ((other,), after.last) == (after.owners, before.last)
    assert ENDED == await estate.traces(user)
    assert (2, 1) == (copies, await estate.copies(before))
    with pytest.raises(ReportNotFound):
        await lot.reports().get(before.report_id, user)
    assert [after] == list((await lot.reports().page(other, limit=10, cursor=None)).reports)

    assert after == await estate.record(lot.sighting(other, PARKED_SECONDS + 60))
    later = await estate.record(lot.sighting(other, 2 * PARKED_SECONDS))
    assert (PARKED_SECONDS, 2 * PARKED_SECONDS) == span(later)


async def test_no_report_is_made_of_a_sighting_that_has_just_gone(estate: Estate, user: UserId, other: UserId) -> None:
    """The other's worker has read it and compares; when it comes to write, the first owner is gone."""
    lot = estate.lot
    await lot.see(user, 0)
    accounts = estate.accounts()
    compare = lot.eye

    async def compare_late(*arguments: Any) -> Any:
        await accounts.erase(user)
        return await compare(*arguments)

    report = await lot.reports().record(lot.sighting(other, PARKED_SECONDS), compare_late, 0.8)

    assert report is None
    assert ENDED == await estate.traces(user)


async def test_the_clients_are_told_and_sent_away(estate: Estate, user: UserId) -> None:
    """By the bus alone, at the beginning and at the end; no log has it."""
    told: list[Notice] = []
    estate.ground.bus.subscribe(user, told.append)
    await estate.ground.running(user)
    await estate.accounts().erase(user)
    types = [notice.type for notice in told if isinstance(notice, JobEvent | UserEvent)]

    assert [ACCOUNT_ERASED, "job.canceled", ACCOUNT_ERASED] == types[-3:]


async def test_what_takes_too_long_is_gone_on_with_by_the_next(estate: Estate, user: UserId) -> None:
    """Its caller is told so instead of waiting for ever."""
    await estate.settle(user)
    first = await estate.accounts(most=0).erase(user)
    second = await estate.accounts().erase(user)

    assert (False, True) == (first.is_complete, second.is_complete)
    assert LEFT == await estate.traces(user)


async def test_jobs_that_are_counted_and_nowhere_hold_it_up_for_a_moment_only(estate: Estate, user: UserId) -> None:
    """The count of the row would be wrong then, and the account could never be erased."""
    await estate.ground.clients.dynamodb.update_item(
        TableName=estate.ground.tables.users,
        Key={"userId": user},
        UpdateExpression="SET unfinishedJobs = :three",
        ExpressionAttributeValues={":three": 3},
    )
    erased = await estate.accounts(patience=0.05).erase(user)

    assert erased.is_complete
    assert ENDED == await estate.traces(user)


async def test_a_photo_whose_news_is_under_way_starts_nothing(estate: Estate, user: UserId) -> None:
    """The event of the upload comes when the account is gone."""
    key = f"reports/{user}/phone-1/{clock.now_milliseconds()}_{uuid4()}.jpg"
    await estate.ground.clients.s3.put_object(Bucket=estate.ground.upload_bucket, Key=key, Body=b"a photo")
    upload = read_key(key)
    assert upload is not None
    await estate.accounts().erase(user)

    with pytest.raises(JobNotFound):
        await estate.ground.submission().take_in(request_of(user), upload.job_id)
    assert ENDED == await estate.traces(user)


async def test_two_erasures_at_once_do_no_harm(estate: Estate, user: UserId) -> None:
    """Two pages of one reader."""
    await estate.settle(user)
    both = await asyncio.gather(estate.accounts().erase(user), estate.accounts().erase(user))

    assert [True, True] == [erased.is_complete for erased in both]
    assert LEFT == await estate.traces(user)


async def test_more_jobs_than_a_page_holds_all_go(estate: Estate, user: UserId) -> None:
    """But for those that were deleted before; what had not begun is given back."""
    await estate.ground.table.users.set_daily_limit(user, 100)
    jobs = [await stored(estate.ground.table, user) for _ in range(30)]
    await complete(estate.ground.table, await claim(estate.ground.table, jobs[1]))
    await estate.ground.control().delete(jobs[0])
    erased = await estate.accounts().erase(user)

    assert (True, 29) == (erased.is_complete, erased.jobs)
    assert Counts(0, 0) == await estate.ground.counts(user)
    assert (1, 1) == await estate.ground.usage(user)
