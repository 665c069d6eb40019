"""The operator's page in a real browser: it follows the figures, changes a user, and says when the task has left."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, expect

from tests.browser.stage import PHOTO
from tests.browser.visit import Visit, visit
from tests.journey.running import embedded_service
from tests.person import Person

pytestmark = pytest.mark.timeout(180)

SLOW = "[[sim:slow=4]]"
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"


async def come_in(seen: Visit, name: str) -> None:
    """Continue as a demo user."""
    await seen.page.fill(seen.hook("demo"), name)
    await seen.page.click(seen.hook("demo-sign-in"))


async def test_an_operator_watches_changes_a_user_and_has_the_task_leave(browser: Browser, tmp_path: Path) -> None:
    """Numbers move while a job runs, without a reload; others are told plainly; the end of the connection is shown."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2", settings={"WORKER_SLOTS": "4"}) as service,
        aiohttp.ClientSession() as session,
        visit(browser, f"{service.url}/ops") as seen,
    ):
        await come_in(seen, "alice")
        await expect(seen.find("refused")).to_contain_text("alice, who is not an operator")
        await expect(seen.find("connection")).to_have_text("Not an operator")
        await come_in(seen, "operator")
        await expect(seen.find("connection")).to_have_attribute("data-state", "live")
        await seen.page.goto(service.url)
        await seen.page.click(seen.hook("ops-link"))
        await expect(seen.find("connection")).to_have_attribute("data-state", "live")
        alice = await Person.sign_in(session, service.url, "alice")
        await see_a_job(seen, alice)
        me = await alice.get("/user/me")
        await limit(seen, me["userId"])
        limited = await alice.get("/user/me")
        await block(seen)
        await seen.page.click(seen.hook("redrive-look"))
        await expect(seen.find("redrive-answer")).to_have_text("There are no dead letters.")
        overflow = await narrow_and_korean(seen)
        await have_the_task_leave(seen)
        code = await service.process.wait()

    assert (10, 3) == (me["dailyLimit"], limited["dailyLimit"])
    assert (0, 0) == (overflow, code)
    assert [] == [complaint for complaint in seen.complaints if "Failed to load resource" not in complaint]


async def see_a_job(seen: Visit, alice: Person) -> None:
    """Watch it begin and end, in the cards, the table and the charts."""
    busy = seen.find("value-slots")
    await expect(busy).to_have_text("0 / 4")
    async with alice.socket():
        await alice.generate(PHOTO.read_bytes(), SLOW)
        await expect(busy).to_have_text("1 / 4")
        await expect(seen.find("value-clients")).to_have_text("1")
        await expect(seen.find("card-clients")).to_contain_text("1 socket, 0 streams, 0 polls")
        await expect(busy).to_have_text("0 / 4")
    times = seen.find("table-percentiles").get_by_role("row", name=re.compile("A job, from claim to end"))
    await expect(times.get_by_role("cell").last).to_have_text("1")
    await expect(seen.page.get_by_role("img", name=re.compile(r"Workers\. busy: \d now, \d at most"))).to_be_visible()
    await expect(seen.find("chart-requests").locator(".plot .line-0")).to_have_attribute("d", re.compile("M.*L"))


async def limit(seen: Visit, user_id: str) -> None:
    """Find a user by the keyboard alone, and give another limit."""
    await seen.page.fill(seen.hook("user-id"), user_id)
    await seen.page.press(seen.hook("user-id"), "Enter")
    await seen.page.fill(seen.hook("user-limit"), "3")
    await seen.page.press(seen.hook("user-limit"), "Enter")
    await expect(seen.find("user-answer")).to_have_text("The user's own limit holds now.")


async def block(seen: Visit) -> None:
    """Refuse the user everything, after one question."""
    await seen.page.click(seen.hook("user-block"))
    await seen.page.click(seen.hook("block-confirm"))
    await expect(seen.find("user-found")).to_have_attribute("data-blocked", "true")


async def narrow_and_korean(seen: Visit) -> int:
    """Look at it on a phone; return by how much it is too wide."""
    await seen.page.set_viewport_size({"width": 360, "height": 740})
    await seen.page.click(seen.hook("language"))
    await expect(seen.page.get_by_role("heading", name="지난 한 시간")).to_be_visible()
    return int(await seen.page.evaluate(OVERFLOW))


async def have_the_task_leave(seen: Visit) -> None:
    """Its last figures stay, marked as such."""
    await seen.page.click(seen.hook("drain"))
    await expect(seen.page.get_by_role("dialog")).to_contain_text("데모가 끝납니다")
    await seen.page.click(seen.hook("drain-confirm"))
    await expect(seen.find("lost")).to_contain_text("연결이 끊겼습니다")
    await expect(seen.find("board")).to_be_visible()
