"""A fifth system takes one module and one line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from consumers.pipelines import Share, by_name
from jobs.errors import QuotaExceeded
from jobs.events import JobProgress
from jobs.ids import UserId
from jobs.job_table import Limits
from jobs.model import Charge
from jobs.submission import Submission
from tests.consumers.house import House
from tests.consumers.pipelines import toy
from tests.consumers.pipelines.desk import Desk, facts, failure

DREAM = "I was flying over a wonderful, happy town."
TOY = toy.PIPELINE


@pytest.fixture
def desk(house: House, user: UserId) -> Desk:
    """Open the user's desk in a house that also has the toy."""
    registered = {**house.workshop.pipelines, **by_name(TOY)}
    return Desk(replace(house, workshop=replace(house.workshop, pipelines=registered)), user)


async def test_a_fifth_pipeline_is_one_module_and_one_line(desk: Desk) -> None:
    """Queue, pool, quota, push and storage serve it as they serve the others."""
    job = await desk.done(TOY.name, units=TOY.units, dream=DREAM, vividness=5)
    told = [notice.message for notice in desk.story.notices if isinstance(notice, JobProgress)]

    assert {"meaning": "positive", "vividness": 5} == facts(job)
    assert "PNG" == (await desk.picture(job)).format
    assert ["job.queued", "job.processing", "job.completed"] == desk.story.events
    assert ["Dreaming", "Painting the dream", "Storing the picture"] == told
    assert (2, 2) == await desk.house.usage(desk.user)
    assert (2, Charge.CHARGED) == (job.units, job.charge)
    assert 2 == job.use.calls


async def test_it_takes_as_much_of_the_day_as_it_says(desk: Desk) -> None:
    """Three units are one dream, and not two."""
    house = desk.house
    few = replace(house, submission=Submission(house.table, house.queue, Limits(daily=3)))
    frugal = Desk(few, desk.user)
    job = await frugal.submit(TOY.name, units=TOY.units, dream=DREAM)
    with pytest.raises(QuotaExceeded):
        await frugal.submit(TOY.name, units=TOY.units, dream=DREAM)
    await desk.ended(job)

    assert (2, 2) == await house.usage(desk.user)


async def test_what_it_does_not_take_fails_and_is_given_back(desk: Desk) -> None:
    """Without a dream, with none in it, or too vivid: both units; what it does not know is no hindrance."""
    asked: list[dict[str, Any]] = [{}, {"dream": ""}, {"dream": DREAM, "vividness": 6}]
    jobs = await desk.ended(*[await desk.submit(TOY.name, units=TOY.units, **wish) for wish in asked])
    fine = await desk.done(TOY.name, units=TOY.units, dream=DREAM, mattress="soft")

    assert [("invalid_input", Charge.RETURNED)] * 3 == [(failure(job)[0], job.charge) for job in jobs]
    assert 3 == facts(fine)["vividness"]
    assert (2, 2) == await desk.house.usage(desk.user)


async def test_a_refused_dream_is_charged_as_any_other(desk: Desk) -> None:
    """The classes of failures are the pool's, not the pipeline's."""
    job = await desk.done(TOY.name, units=TOY.units, dream=f"{DREAM} [[sim:safety]]")

    assert ("content_rejected", Charge.CHARGED) == (failure(job)[0], job.charge)
    assert (2, 2) == await desk.house.usage(desk.user)


@pytest.mark.parametrize(
    ("written", "share"), [("0.8512", 0.851), ("1", 1), ("1.7", 1), ("-3", 0), ("1e999", None), ("NaN", None)]
)
def test_a_share_is_from_nothing_to_one(written: str, share: float | None) -> None:
    """Whatever a model writes; what is no number at all makes its answer unusable, before anybody stores it."""
    shares = TypeAdapter(Share)
    if share is None:
        with pytest.raises(ValidationError):
            shares.validate_json(written)
    else:
        assert share == shares.validate_json(written)
