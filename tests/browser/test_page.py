"""What a person does with the page, in a real browser, against the whole service."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.stage import PHOTO
from tests.browser.visit import PATIENCE_MILLISECONDS, PICTURES, Visit, develop, sign_in, visit
from tests.journey.running import Running, embedded_service


async def is_painted(seen: Visit, hook: str) -> bool:
    """Tell whether a picture is there in more than name."""
    picture = seen.page.locator(seen.hook(hook)).first
    await picture.scroll_into_view_if_needed()
    await seen.page.wait_for_function(
        "picture => picture.complete && picture.naturalWidth > 0", arg=await picture.element_handle()
    )
    return True


@pytest.mark.timeout(180)
async def test_a_photo_becomes_a_picture_without_reload_or_poll(browser: Browser, tmp_path: Path) -> None:
    """The main job: sign in, choose, submit, watch it complete over the socket, download; it is there after a reload."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=1") as service,
        visit(browser, service.url) as seen,
    ):
        await expect(seen.find("demo-sign-in")).to_be_visible()
        await seen.page.screenshot(path=PICTURES / "sign-in.png")
        await sign_in(seen, "alice")
        await develop(seen, "formal_interview")
        reads = [url for url in seen.requested if re.search(r"/jobs/job_\w+$", url)]
        painted = [await is_painted(seen, "result-image"), await is_painted(seen, "original-image")]
        quota = await seen.page.get_attribute(seen.hook("quota"), "data-remaining")
        await seen.page.evaluate("scrollTo(0, 0)")
        await seen.page.screenshot(path=PICTURES / "page.png")
        async with seen.page.expect_download() as download:
            await seen.page.click(seen.hook("download"))
        saved = Path(await (await download.value).path()).read_bytes()  # noqa: ASYNC240 - a test may wait for its disk
        await seen.page.reload()
        await expect(seen.page.locator(f"{seen.hook('job')}[data-status='completed']")).to_have_count(1)

    assert [] == reads
    assert [True, True] == painted
    assert "9" == quota
    assert b"\x89PNG" == saved[:4]
    assert [] == seen.complaints


@pytest.mark.timeout(180)
async def test_the_page_speaks_korean_on_a_dark_phone(browser: Browser, tmp_path: Path) -> None:
    """The language follows the browser, a failure is told in it, and nothing is wider than the screen."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2") as service,
        visit(browser, service.url, locale="ko-KR", color_scheme="dark") as seen,
    ):
        await seen.page.set_viewport_size({"width": 360, "height": 780})
        await sign_in(seen, "min-ji")
        await seen.page.set_input_files(seen.hook("photo-input"), PHOTO)
        await seen.page.fill(seen.hook("prompt"), "[[sim:safety]]")
        await seen.page.click(seen.hook("submit"))
        error = seen.page.locator(f"{seen.hook('job-error')}[data-code='content_rejected']")
        await expect(error).to_contain_text(re.compile("[가-힣]{2}"))
        wide = await seen.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        language = await seen.page.get_attribute("html", "lang")
        await seen.page.evaluate("scrollTo(0, 0)")
        await seen.page.screenshot(path=PICTURES / "phone-ko.png")

    assert ("ko", False, []) == (language, wide, seen.complaints)


@pytest.mark.timeout(180)
async def test_the_keyboard_alone_does_the_main_job(browser: Browser, demo: Running, person: str) -> None:
    """Signing in, choosing a style and submitting need no pointer; only the file dialog is the browser's own."""
    async with visit(browser, demo.url) as seen:
        await seen.page.focus(seen.hook("demo-user"))
        await seen.page.keyboard.press("Control+A")
        await seen.page.keyboard.type(person)
        await seen.page.keyboard.press("Enter")
        await expect(seen.page.locator(seen.hook("connection"))).to_have_attribute("data-state", "live")
        await seen.page.set_input_files(seen.hook("photo-input"), PHOTO)
        await seen.page.focus("input[name='style']:checked")
        await seen.page.keyboard.press("ArrowUp")
        await seen.page.keyboard.press("Tab")
        for _ in range(4):
            if await seen.page.evaluate("document.activeElement.dataset.testid") == "submit":
                break
            await seen.page.keyboard.press("Tab")
        await seen.page.keyboard.press("Enter")
        await expect(seen.page.locator(f"{seen.hook('job')}[data-status='completed']")).to_have_count(1)


@pytest.mark.timeout(240)
async def test_an_open_page_outlives_the_service(browser: Browser, tmp_path: Path) -> None:
    """The process is killed and started again under an open page: it says so, comes back by itself, and works on."""
    async with embedded_service(tmp_path, "--gemini-latency=0.2") as service:
        port = service.url.rsplit(":", 1)[1]
        async with visit(browser, service.url) as seen:
            await sign_in(seen, "alice")
            await develop(seen, "professional")
            connection = seen.page.locator(seen.hook("connection"))
            await service.end(signal.SIGKILL)
            await expect(connection).not_to_have_attribute("data-state", "live")
            async with embedded_service(tmp_path, "--gemini-latency=0.2", f"--port={port}"):
                await expect(connection).to_have_attribute("data-state", "live", timeout=2 * PATIENCE_MILLISECONDS)
                await seen.page.click(seen.hook("photo-remove"))
                await seen.page.set_input_files(seen.hook("photo-input"), PHOTO)
                await seen.page.click(seen.hook("submit"))
                done = seen.page.locator(f"{seen.hook('job')}[data-status='completed']")
                await expect(done).to_have_count(2)
                painted = await is_painted(seen, "result-image")

    assert painted
