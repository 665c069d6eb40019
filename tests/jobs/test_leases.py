"""Who holds a job, and for how long."""

from __future__ import annotations

import pytest

from jobs import clock, moves
from jobs.errors import JobEnded, LostClaim
from jobs.ids import JobId, UserId
from jobs.job_table import JobTable
from jobs.model import Status
from tests.jobs.story import FAILURE, claim, complete, stored


def in_a_minute() -> int:
    """Name a time."""
    return clock.now_milliseconds() + 60_000


async def test_the_holder_holds_the_job_longer(table: JobTable, user: UserId) -> None:
    """Nothing but the lease changes: it is no visible change."""
    held = await claim(table, await stored(table, user), lease=1_000)
    until = in_a_minute()
    renewed = await table.renew_lease(held.job_id, "me", until)
    now = await table.get(held.job_id)

    assert renewed
    assert (until, held.version, held.attempt) == (now.lease_until, now.version, now.attempt)


async def test_nobody_else_renews_a_lease(table: JobTable, user: UserId) -> None:
    """The lease stays as it was."""
    held = await claim(table, await stored(table, user))
    renewed = await table.renew_lease(held.job_id, "you", in_a_minute() + 1)

    assert not renewed
    assert held == await table.get(held.job_id)


async def test_a_worker_that_was_followed_by_another_cannot_renew(table: JobTable, user: UserId) -> None:
    """It slept; now it learns that it must stop."""
    late = await claim(table, await stored(table, user), "late", lease=-1)
    held = await claim(table, late, "quick")
    renewed = await table.renew_lease(held.job_id, "late", in_a_minute())

    assert not renewed
    assert held == await table.get(held.job_id)


@pytest.mark.parametrize(
    "end",
    [
        moves.canceled_if(lambda _: True, 1),
        moves.failed(FAILURE, 1, owner="me", keeps_charge=False),
        moves.released("me", 1),
    ],
)
async def test_no_lease_is_renewed_after_the_end(table: JobTable, user: UserId, end: moves.Move) -> None:
    """An ended job, or one that was given up, has no holder."""
    held = await claim(table, await stored(table, user))
    after = await table.apply(held, end)
    renewed = await table.renew_lease(held.job_id, "me", in_a_minute())

    assert not renewed
    assert after == await table.get(held.job_id)


async def test_no_lease_of_a_deleted_or_unknown_job_is_renewed(table: JobTable, user: UserId) -> None:
    """What is not there is not made."""
    done = await complete(table, await claim(table, await stored(table, user)))
    await table.delete(done)

    assert not await table.renew_lease(done.job_id, "me", in_a_minute())
    assert not await table.renew_lease(JobId("job_none"), "me", in_a_minute())


async def test_a_renewal_between_reading_and_claiming_makes_the_claim_fail(table: JobTable, user: UserId) -> None:
    """The lease was over when the other worker read the job, and was not any more when it wrote."""
    held = await claim(table, await stored(table, user), lease=-1)
    await table.renew_lease(held.job_id, "me", in_a_minute())

    with pytest.raises(LostClaim):
        await claim(table, held, "you")
    assert "me" == (await table.get(held.job_id)).owner


async def test_a_renewal_between_reading_and_sweeping_keeps_the_job(table: JobTable, user: UserId) -> None:
    """A slow worker is no dead one."""
    held = await claim(table, await stored(table, user), lease=-1)
    await table.renew_lease(held.job_id, "me", in_a_minute())
    now = clock.now_milliseconds()

    with pytest.raises(LostClaim):
        await table.apply(held, moves.taken_from_the_dead(now, patience_milliseconds=0))
    assert Status.COMPLETED == (await complete(table, held)).status


async def test_a_lapsed_lease_that_nobody_took_is_still_its_holders(table: JobTable, user: UserId) -> None:
    """A worker that comes back in time goes on."""
    held = await claim(table, await stored(table, user), lease=-1)

    assert await table.renew_lease(held.job_id, "me", in_a_minute())
    assert Status.COMPLETED == (await complete(table, held)).status


async def test_a_renewal_does_not_disturb_the_holders_own_writing(table: JobTable, user: UserId) -> None:
    """The heartbeat and the completion meet."""
    held = await claim(table, await stored(table, user))
    await table.renew_lease(held.job_id, "me", in_a_minute())
    done = await complete(table, held)

    assert done == await table.get(held.job_id)
    with pytest.raises(JobEnded):
        await complete(table, held)
