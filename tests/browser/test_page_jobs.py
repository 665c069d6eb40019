"""What a person does with the jobs there are, and learns of those that wait."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from playwright.async_api import Browser, Request, expect

from tests.browser.visit import FOCUSED, develop, sign_in, visit
from tests.journey.running import Running, embedded_service

pytestmark = pytest.mark.timeout(180)

SLOW = "[[sim:slow=60]]"
LONGEST_NAME = "a-name-of-thirty-two-letters-xyz"
LINES_OF_BUTTONS = """() => [...document.querySelectorAll('.person button')].map((button) => {
  const range = document.createRange();
  range.selectNodeContents(button);
  return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size;
})"""


async def test_a_job_is_canceled_and_tried_again(browser: Browser, tmp_path: Path) -> None:
    """An open job can be canceled and says what that cost; an ended one can be made once more, as a new job."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2", settings={"WORKER_SLOTS": "1"}) as service,
        visit(browser, service.url) as seen,
    ):
        await sign_in(seen, "alice")
        await seen.submit(SLOW)
        await expect(seen.jobs("processing").locator(seen.hook("progress"))).to_contain_text("Developing")
        await seen.submit("waits")
        waiting = seen.jobs("queued")
        await waiting.locator(seen.hook("cancel")).click()
        returned = seen.jobs("canceled").locator(seen.hook("cancellation"))
        await expect(returned).to_have_text("It was not counted.")
        await expect(seen.page.locator(seen.hook("quota"))).to_have_attribute("data-remaining", "9")
        running = seen.jobs("processing")
        title = f"title-{await running.get_attribute('data-job-id')}"
        await running.locator(seen.hook("cancel")).focus()
        await seen.page.keyboard.press("Enter")
        await expect(seen.page.locator("[data-testid='cancellation'][data-given-back='false']")).to_contain_text(
            "counts"
        )
        await seen.page.wait_for_function(f"title => ({FOCUSED}) === title", arg=title)
        await seen.jobs().filter(has_text="waits").locator(seen.hook("retry")).click()
        done = seen.jobs("completed")
        await expect(done).to_contain_text("waits")

        told = seen.jobs("canceled").locator(seen.hook("cancellation"))
        before = sorted(await told.all_inner_texts())
        await seen.page.reload()
        await expect(told).to_have_count(2)

        assert before == sorted(await told.all_inner_texts())
        assert 3 == await seen.jobs().count()
        assert 0 == await done.locator(seen.hook("retry")).count()
        assert 0 == await seen.jobs("canceled").locator(seen.hook("cancel")).count()

    assert [] == seen.complaints


async def test_a_deletion_can_be_undone_and_is_final_when_the_tab_goes(
    browser: Browser, demo: Running, person: str
) -> None:
    """The card goes at once; undone by key it is back under the person's hand; left alone, or with the tab, it is gone for good."""
    deleted: list[str] = []

    def note(request: Request) -> None:
        if request.method == "DELETE":
            deleted.append(request.url)

    async with visit(browser, demo.url) as seen:
        seen.page.on("request", note)
        await sign_in(seen, person)
        await develop(seen, "professional")
        job_id = await seen.jobs().get_attribute("data-job-id")
        await seen.page.focus(seen.hook("delete"))
        await seen.page.keyboard.press("Enter")
        toast = seen.page.get_by_role("status").and_(seen.find("toasts"))
        await expect(toast).to_contain_text("deleted")
        await expect(seen.jobs()).to_have_count(0)
        await seen.page.wait_for_function(f"({FOCUSED}) === 'gallery-title'")
        await seen.page.keyboard.press("z")
        await expect(seen.jobs()).to_have_count(1)
        await seen.page.wait_for_function(f"({FOCUSED}) === 'title-{job_id}'")
        await expect(toast).to_be_empty()
        await seen.find("delete").click()
        await seen.find("toast-action").focus()
        sent = list(deleted)
        await seen.page.reload()
        await expect(seen.find("empty")).to_be_visible()

    assert [] == sent
    assert [] == seen.complaints


async def test_all_jobs_of_a_view_are_canceled_after_one_question(browser: Browser, demo: Running, person: str) -> None:
    """It asks, says what came of it, and what has ended can be looked at by how it has."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await develop(seen, "professional")
        for wish in ("one", "two"):
            await seen.submit(f"{wish} {SLOW}")
        await expect(seen.jobs("processing")).to_have_count(2)
        await expect(seen.jobs("processing").first.locator(seen.hook("typical"))).to_contain_text("usually about")
        await seen.find("cancel-all").click()
        await expect(seen.find("cancel-all-dialog")).to_contain_text("all 2 jobs")
        await seen.page.keyboard.press("Escape")
        await expect(seen.find("cancel-all-dialog")).to_have_count(0)
        kept = await seen.jobs("processing").count()
        await seen.find("cancel-all").click()
        await seen.find("cancel-all-confirm").click()
        await expect(seen.find("toast")).to_contain_text("2 jobs were canceled.")
        await expect(seen.find("cancel-all")).to_have_count(0)
        await seen.find("filter-completed").click()
        done = await seen.jobs().count()
        await seen.find("filter-other").click()
        await expect(seen.jobs("canceled")).to_have_count(2)

    assert (2, 1) == (kept, done)
    assert [] == seen.complaints


async def test_a_job_that_waits_says_where_and_its_time_never_jumps_back(browser: Browser, tmp_path: Path) -> None:
    """Its card tells the place in the queue; the time on show counts from its creation, before its end and after."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2", settings={"WORKER_SLOTS": "1"}) as service,
        visit(browser, service.url) as seen,
    ):
        await sign_in(seen, "alice")
        await seen.submit("[[sim:slow=12]]")
        await expect(seen.jobs("processing")).to_have_count(1)
        await seen.submit("waits")
        waiting = seen.jobs().filter(has_text="waits")
        await expect(waiting.locator(seen.hook("queue-place"))).to_contain_text("Next in the queue")
        duration = waiting.locator(seen.hook("duration"))
        await expect(duration).to_have_text(re.compile(r"^([6-9]|1\d)s$"))
        before = float((await duration.inner_text()).rstrip("s"))
        await expect(seen.jobs("completed")).to_have_count(2)
        after = float((await duration.inner_text()).rstrip("s"))

    assert after >= before


async def test_the_page_says_what_is_wrong_with_the_service(browser: Browser, tmp_path: Path) -> None:
    """While Gemini refuses for the rate the page says so, also to one who comes then, and no longer than it is so."""
    async with embedded_service(tmp_path, "--gemini-latency=0.2", "--gemini-requests-per-minute=1") as service:
        port = service.url.rsplit(":", 1)[1]
        async with visit(browser, service.url) as seen:
            await sign_in(seen, "alice")
            note = seen.page.get_by_role("status").and_(seen.page.locator(seen.hook("degraded")))
            await expect(note).to_be_empty()
            await develop(seen, "professional")
            await seen.submit("second")
            await expect(note).to_contain_text("Not everything works as usual.")
            reason = await note.inner_text()
            await seen.page.reload()
            await expect(note).to_have_text(reason)
            await seen.page.click(seen.hook("language"))
            await expect(note).to_contain_text(re.compile("AI 서비스"))
            await service.end(signal.SIGKILL)
            await expect(note).to_be_empty()
            async with embedded_service(tmp_path, "--gemini-latency=0.2", f"--port={port}"):
                await expect(seen.jobs("completed")).to_have_count(2, timeout=90_000)
                await expect(note).to_be_empty()


async def test_a_long_name_leaves_the_buttons_whole_on_a_phone(browser: Browser, demo: Running) -> None:
    """No button's words are broken, nothing is wider than the screen, and the day's end is a plain Korean phrase."""
    async with visit(browser, demo.url, locale="ko-KR") as seen:
        await seen.page.set_viewport_size({"width": 360, "height": 780})
        await sign_in(seen, LONGEST_NAME)
        quota = seen.page.locator(f"{seen.hook('quota')} small")
        await expect(quota).to_have_text(
            re.compile(r"^[월화수목금토일]요일 (0시|오[전후] \d+:\d\d)에 다시 채워집니다$")
        )

        assert {1} == set(await seen.page.evaluate(LINES_OF_BUTTONS))
        assert not await seen.page.evaluate("document.documentElement.scrollWidth > innerWidth")
