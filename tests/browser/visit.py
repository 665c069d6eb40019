"""A person's visit to the page of an embedded service, by the page's own test hooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.stage import PHOTO
from tests.conftest import CHECKOUT
from tests.drawings import Box

PATIENCE_MILLISECONDS = 30_000
FOCUSED = "document.activeElement.id || document.activeElement.dataset.testid"
TARGETS = "main :is(button, a, summary, input:not([type=file], [type=radio])), .views a"
SMALL = """targets => targets.filter((target) => target.checkVisibility() && target.getBoundingClientRect().height < 24)
  .map(({ outerHTML }) => outerHTML.slice(0, 100))"""
PICTURES = CHECKOUT / "docs" / "images"
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

    def jobs(self, status: str = "") -> Locator:
        """Find the cards, all or those of a status."""
        return self.page.locator(self.hook("job") + (f"[data-status='{status}']" if status else ""))

    def job(self, job_id: str) -> Locator:
        """Find one card."""
        return self.page.locator(f"{self.hook('job')}[data-job-id='{job_id}']")

    def find(self, name: str, job: Locator | None = None) -> Locator:
        """Find what carries a test hook, in one card or anywhere."""
        return (job or self.page).locator(self.hook(name))

    async def show(self, view: str) -> None:
        """Go to a view by its link."""
        link = self.page.locator(self.hook(f"view-link-{view}"))
        await link.click()
        await expect(link).to_have_attribute("aria-current", "page")

    async def small_targets(self) -> list[str]:
        """Tell what can be pressed and is lower than 24 pixels."""
        small: list[str] = await self.page.locator(TARGETS).evaluate_all(SMALL)
        return small

    async def choose(self, photo: bytes) -> None:
        """Choose a JPEG."""
        await self.page.set_input_files(
            self.hook("photo-input"), {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photo}
        )

    async def send(self, photo: bytes) -> None:
        """Choose a JPEG and press the button."""
        await self.choose(photo)
        await self.page.click(self.hook("submit"))

    async def submit(self, prompt: str = "") -> None:
        """Choose the photo, say a wish and press the button."""
        await self.page.set_input_files(self.hook("photo-input"), PHOTO)
        await self.page.fill(self.hook("prompt"), prompt)
        await self.page.click(self.hook("submit"))


async def shown_boxes(card: Locator) -> list[Box]:
    """Return the boxes over a card's photo, in the photo's own pixels."""
    sides: list[list[float]] = await card.locator("[data-testid='box']").evaluate_all(
        "boxes => boxes.map((box) => ['x', 'y', 'width', 'height'].map((side) => Number(box.getAttribute(side))))"
    )
    return [Box(x=round(x), y=round(y), width=round(width), height=round(height)) for x, y, width, height in sides]


def overlap(one: Box, other: Box) -> float:
    """Return the part that two boxes share of what they cover together, 0 to 1."""
    wide = min(one.edges[2], other.edges[2]) - max(one.x, other.x)
    high = min(one.edges[3], other.edges[3]) - max(one.y, other.y)
    shared = max(0, wide) * max(0, high)
    return shared / (one.width * one.height + other.width * other.height - shared)


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
