"""The pool's slots, where jobs of several models share them."""

from __future__ import annotations

import asyncio

from jobs.ids import UserId
from jobs.model import Status
from tests.consumers.house import House
from tests.consumers.pipelines.desk import Desk
from tests.consumers.pipelines.wire import Wire
from tests.drawings import Crack, save_jpeg, wall

VISION = "gemini-3.5-flash-lite"
HOLD_SECONDS = 8


async def test_a_job_that_waits_for_a_shut_model_needs_no_slot(wired: tuple[House, Wire], user: UserId) -> None:
    """It is in the only slot when the model says that it is throttled; others are done meanwhile, and it after them."""
    house, wire = wired
    reader, painters = Desk(house, user), Desk(house, UserId(f"{user}-painters"))
    photo = await reader.upload(save_jpeg(wall([Crack(x=60, y=80, width=160, height=150)], size=(640, 480)).image))
    crack = await reader.submit("crack-detection", photo)
    wire.throttles_at = (VISION, HOLD_SECONDS)
    async with house.pool(slots=1), asyncio.timeout(30):
        await reader.story.until("job.processing")
        portraits = [await painters.submit("profile-photo", photo, style="custom") for _ in range(3)]
        done = [await painters.end_of(job) for job in portraits]
        still = (await house.table.get(crack.job_id)).status
        ended = await reader.end_of(crack)

    assert [Status.COMPLETED] * 3 == [job.status for job in done]
    assert Status.PROCESSING is still
    assert (Status.COMPLETED, 1) == (ended.status, ended.attempt)
