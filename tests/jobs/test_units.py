"""Jobs that cost more or less than one unit of the day, and users whose day is another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs import clock, moves
from jobs.errors import QuotaExceeded
from jobs.ids import UserId, anonymous_user
from jobs.job_table import Limits
from jobs.model import Charge, Job
from tests.jobs.ground import Counts, Ground
from tests.jobs.story import FAILURE, LIMITS, claim, complete, new_job

THREE = Limits(daily=3)


def asking(user: UserId, units: int) -> Job:
    """Make a job that costs so much and needs no upload."""
    return replace(new_job(user), units=units, input_url=None)


async def queued(ground: Ground, user: UserId, units: int, limits: Limits = LIMITS) -> Job:
    """Store a job of so many units, and charge it."""
    job = await ground.table.create(asking(user, units), limits)
    return await ground.table.apply(job, moves.queued(clock.now_milliseconds()))


@pytest.mark.parametrize("units", [0, 1, 2])
async def test_a_job_takes_and_charges_its_units(ground: Ground, user: UserId, units: int) -> None:
    """First the one, then the other; a picture more than that is its owner's all the same."""
    job = await ground.table.create(asking(user, units), LIMITS)
    taken = await ground.usage(user)
    held = await claim(ground.table, await ground.table.apply(job, moves.queued(clock.now_milliseconds())))
    done = await complete(ground.table, held)

    assert ((units, 0), (units, units)) == (taken, await ground.usage(user))
    assert Counts(0, 0, 1) == await ground.counts(user)
    assert done == await ground.table.get(job.job_id)


@pytest.mark.parametrize("units", [0, 1, 2])
async def test_a_worker_faster_than_the_charge_charges_them_all(ground: Ground, user: UserId, units: int) -> None:
    """Whoever submitted the job is gone by then."""
    job = await ground.table.create(asking(user, units), LIMITS)
    await complete(ground.table, await claim(ground.table, job))

    assert (units, units) == await ground.usage(user)


@pytest.mark.parametrize("units", [0, 1, 2])
async def test_a_failed_job_gives_its_units_back(ground: Ground, user: UserId, units: int) -> None:
    """All, and those of another job stay."""
    await queued(ground, user, 1)
    held = await claim(ground.table, await queued(ground, user, units))
    before = await ground.usage(user)
    failure = moves.failed(FAILURE, clock.now_milliseconds(), owner="me", keeps_charge=False)
    await ground.table.apply(held, failure)

    assert ((1 + units, 1 + units), (1, 1)) == (before, await ground.usage(user))


async def test_a_job_that_is_canceled_before_it_was_charged_returns_what_it_took(ground: Ground, user: UserId) -> None:
    """Nothing was charged, so nothing is taken off that."""
    job = await ground.table.create(asking(user, 2), LIMITS)
    canceled = await ground.control().cancel(job)

    assert canceled.given_back
    assert (0, 0) == await ground.usage(user)


async def test_a_job_that_is_canceled_in_the_call_keeps_its_units(ground: Ground, user: UserId) -> None:
    """Until the call is known to have cost nothing: then they come back."""
    job = await claim(ground.table, await queued(ground, user, 2))
    canceled = (await ground.control().cancel(job)).job
    kept = await ground.usage(user)
    await ground.table.apply(canceled, moves.given_back())

    assert (Charge.CHARGED, (2, 2)) == (canceled.charge, kept)
    assert (0, 0) == await ground.usage(user)


async def test_a_job_that_is_brought_back_is_charged_its_units_again(ground: Ground, user: UserId) -> None:
    """And one that is repeated costs what the first did."""
    held = await claim(ground.table, await queued(ground, user, 2))
    failure = moves.failed(FAILURE, clock.now_milliseconds(), owner="me", keeps_charge=False)
    failed = await ground.table.apply(held, failure)
    again = (await ground.control().retry(failed)).job
    repeated = await ground.usage(user)
    await ground.table.apply(failed, moves.brought_back(clock.now_milliseconds()))

    assert (2, (2, 2)) == (again.units, repeated)
    assert (4, 4) == await ground.usage(user)


async def test_the_last_unit_is_too_little_for_a_job_of_two(ground: Ground, user: UserId) -> None:
    """It takes nothing; a job of one has it, and a job of none is free when nothing is left."""
    await queued(ground, user, 2, THREE)
    with pytest.raises(QuotaExceeded):
        await ground.table.create(asking(user, 2), THREE)
    left = await ground.usage(user)
    await queued(ground, user, 1, THREE)
    free = await queued(ground, user, 0, THREE)

    assert ((2, 2), (3, 3)) == (left, await ground.usage(user))
    assert Counts(3, 3) == await ground.counts(user)
    assert Charge.CHARGED == free.charge


async def test_a_day_shorter_than_a_job_refuses_it_at_once(ground: Ground, user: UserId) -> None:
    """Also the first."""
    with pytest.raises(QuotaExceeded):
        await ground.table.create(asking(user, 4), THREE)

    assert (0, 0) == await ground.usage(user)


async def test_a_user_without_a_token_has_a_day_of_another_length(ground: Ground, user: UserId) -> None:
    """Each address for itself; and none where it is not said."""
    limits = Limits(daily=1, anonymous_daily=2)
    here, there = anonymous_user(f"{user} here"), anonymous_user(f"{user} there")
    for stranger in (here, here, there):
        await queued(ground, stranger, 1, limits)
    with pytest.raises(QuotaExceeded) as refused:
        await ground.table.create(asking(here, 1), limits)
    await queued(ground, user, 1, limits)
    with pytest.raises(QuotaExceeded):
        await ground.table.create(asking(user, 1), limits)
    with pytest.raises(QuotaExceeded):
        await ground.table.create(asking(there, 1), Limits(daily=10))

    assert 2 == refused.value.daily_limit
    assert [(2, 2), (1, 1), (1, 1)] == [await ground.usage(one) for one in (here, there, user)]
