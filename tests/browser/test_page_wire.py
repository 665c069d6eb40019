"""The page over a wire that loses answers."""

from __future__ import annotations

import uuid

import pytest
from playwright.async_api import expect

from tests.browser.stage import PHOTO, Stage, developed

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]


async def test_a_lost_answer_to_a_retry_starts_one_job(stage: Stage) -> None:
    """The connection is reset when the service has made the job: the page asks again and gets the same one."""
    user = f"user-{uuid.uuid4().hex[:8]}"
    person = stage.person(user)
    await developed(person)
    async with stage.page() as page:
        await page.click("summary")
        await page.fill("[data-testid='token']", stage.token(user))
        await page.click("[data-testid='token-sign-in']")
        await expect(page.locator("[data-testid='connection']")).to_have_attribute("data-state", "live")
        job_id = await person.generate(PHOTO.read_bytes(), "[[sim:safety]]")
        await expect(page.locator("[data-testid='job'][data-status='failed']")).to_have_count(1)
        stage.wire.lost = {f"post /jobs/{job_id}/retry".encode(): 2}
        async with page.expect_response("**/retry") as answered:
            await page.click("[data-testid='retry']")
        replayed = (await (await answered.value).all_headers()).get("idempotency-replayed")
        jobs = (await person.get("/jobs"))["jobs"]

        assert "true" == replayed
        assert [job_id] == [job["retryOf"] for job in jobs if "retryOf" in job]
        assert 0 == await page.locator("[data-testid='job-problem']").count()
