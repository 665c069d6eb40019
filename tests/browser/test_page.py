"""What a person does with the page, in a real browser, against the whole service."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.conftest import CHECKOUT
from tests.journey.running import embedded_service

PHOTO = CHECKOUT / "tests" / "data" / "astronaut.png"
PICTURES = CHECKOUT / "docs" / "images"
PATIENCE_MILLISECONDS = 30_000
expect.set_options(timeout=PATIENCE_MILLISECONDS)


@dataclass(slots=True)
class Visit:
    """A page and all it complained about and asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def hook(self, name: str) -> str:
        """Name an element by its test hook."""
        return f"[data-testid='{name}']"


@asynccontextmanager
async def visit(browser: Browser, url: str, *, locale: str = "en-US", **options: object) -> AsyncIterator[Visit]:
    """Open the page in a fresh profile."""
    context = await browser.new_context(locale=locale, viewport={"width": 1280, "height": 1000}, **options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    page = await context.new_page()
    seen = Visit(page)
    page.on("console", lambda message: seen.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.requested.append(request.url))
    await page.goto(url)
    yield seen
    await context.close()


async def sign_in(seen: Visit, name: str) -> None:
    """Continue as a demo user."""
    await seen.page.fill(seen.hook("demo-user"), name)
    await seen.page.click(seen.hook("demo-sign-in"))
    await expect(seen.page.locator(seen.hook("connection"))).to_have_attribute("data-state", "live")


async def develop(seen: Visit, style: str) -> None:
    """Choose the photo and a style, submit, and wait for the completed job."""
    await seen.page.set_input_files(seen.hook("photo-input"), PHOTO)
    await seen.page.check(seen.hook(f"style-{style}"), force=True)
    await seen.page.click(seen.hook("submit"))
    job = seen.page.locator(f"{seen.hook('job')}[data-status='completed']")
    await expect(job).to_have_count(1)


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
async def test_the_keyboard_alone_does_the_main_job(browser: Browser, tmp_path: Path) -> None:
    """Signing in, choosing a style and submitting need no pointer; only the file dialog is the browser's own."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2") as service,
        visit(browser, service.url) as seen,
    ):
        await seen.page.focus(seen.hook("demo-user"))
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
