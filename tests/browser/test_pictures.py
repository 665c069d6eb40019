"""The animated picture of README: a photo becomes a portrait, in frames that are screenshots of the page itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser, expect

from tests.browser.visit import PICTURES, Visit, sign_in, visit
from tests.journey.running import embedded_service

pytestmark = pytest.mark.timeout(180)

FILE = PICTURES / "darkroom.gif"
WIDTH, HEIGHT = 960, 840
COLORS = 256
MOST_BYTES = 1_200_000
STYLE = "business_casual"
SPLITS = (36, 22, 8, 22, 36, 50, 66, 82, 66, 50)
SLOW_LINE = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 40_000}
GOOD_LINE = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}


@dataclass(slots=True)
class Film:
    """Screenshots, and how long each is to be seen."""

    seen: Visit
    frames: list[Image.Image] = field(default_factory=list)
    milliseconds: list[int] = field(default_factory=list)

    async def shoot(self, milliseconds: int) -> None:
        """Take what is on the screen now."""
        await self.seen.page.mouse.move(0, 0)
        await self.seen.page.evaluate("scrollTo(0, 0)")
        shot = Image.open(BytesIO(await self.seen.page.screenshot()), formats=["PNG"])
        self.frames.append(shot.convert("RGB"))
        self.milliseconds.append(milliseconds)

    def save(self, path: Path) -> None:
        """Write it with one palette for all frames, so that what does not change costs nothing."""
        palette = palette_of(self.frames[::3])
        first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in self.frames)
        first.save(path, save_all=True, append_images=rest, duration=self.milliseconds, loop=0, optimize=True)


def palette_of(frames: Sequence[Image.Image]) -> Image.Image:
    """Choose the colours that suit some frames from the first to the last."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT * len(frames)))
    for index, frame in enumerate(frames):
        sheet.paste(frame, (0, HEIGHT * index))
    # Not the usual method, which leaves the small green and blue things grey.
    return sheet.quantize(colors=COLORS, method=Image.Quantize.FASTOCTREE)


async def test_a_photo_becomes_a_portrait_in_moving_pictures(browser: Browser, tmp_path: Path) -> None:
    """From the empty gallery to a picture compared with its photo, small enough for a page of text."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=2.5") as service,
        visit(browser, service.url, color_scheme="light", reduced_motion="reduce") as seen,
    ):
        await seen.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        await sign_in(seen, "alice")
        film = Film(seen)
        await choose(film)
        await develop(film)
        await compare(film)
    film.save(FILE)

    with Image.open(FILE) as picture:
        assert ("GIF", (WIDTH, HEIGHT)) == (picture.format, picture.size)
    assert FILE.stat().st_size <= MOST_BYTES
    assert 8_000 <= sum(film.milliseconds) <= 12_000
    assert [] == seen.complaints


async def choose(film: Film) -> None:
    """Begin with the example of the empty gallery, and choose a style."""
    seen = film.seen
    await expect(seen.find("empty").locator("img")).to_be_visible()
    await film.shoot(1_500)
    await seen.find("example").click()
    await expect(seen.find("preview")).to_be_visible()
    await seen.find("toast-dismiss").click()
    await film.shoot(1_000)
    await seen.page.check(seen.hook(f"style-{STYLE}"), force=True)
    await film.shoot(900)


async def develop(film: Film) -> None:
    """Send it over a line that is slow enough to see, and see it come up."""
    seen = film.seen
    line = await seen.page.context.new_cdp_session(seen.page)
    await line.send("Network.emulateNetworkConditions", SLOW_LINE)
    await seen.page.click(seen.hook("submit"))
    await expect(seen.find("upload")).to_contain_text("%")
    await film.shoot(600)
    await line.send("Network.emulateNetworkConditions", GOOD_LINE)
    stage = seen.jobs("processing").locator(seen.hook("progress"))
    await expect(stage).to_contain_text("Developing")
    await film.shoot(900)
    await expect(seen.jobs("processing").locator(seen.hook("duration"))).to_have_text(re.compile("^[1-9]s$"))
    await film.shoot(900)
    await expect(seen.jobs("completed")).to_have_count(1)
    await seen.find("result-image").evaluate("picture => picture.decode()")
    await film.shoot(1_400)


async def compare(film: Film) -> None:
    """Move the slider there and back."""
    slider = film.seen.find("compare")
    for split in SPLITS:
        await slider.fill(str(split))
        await film.shoot(170)
    film.milliseconds[-1] = 1_500
