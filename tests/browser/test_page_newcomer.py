"""What a newcomer stumbles over: photos that are none, a form that goes on below, a line that is cut, a place that jumps."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from io import BytesIO

import aiohttp
import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import expect

from consumers import images
from tests.browser.readers import House, open_house
from tests.browser.stage import PHOTO
from tests.browser.visit import Visit, sign_in, visit
from tests.person import Person

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

NO_PHOTO = b"%PDF-1.4\n"
LIMITS = (
    "import('/page/upload.js').then(({ LEAST_SIDE, MOST_SIDE, MOST_PIXELS }) => [LEAST_SIDE, MOST_SIDE, MOST_PIXELS])"
)
CHOOSE_AND_PRESS = """bytes => {
  const [input, button] = ['photo-input', 'submit'].map((name) => document.querySelector(`[data-testid=${name}]`));
  const chosen = new DataTransfer();
  chosen.items.add(new File([Uint8Array.from(bytes)], 'photo.jpg', { type: 'image/jpeg' }));
  input.files = chosen.files;
  input.dispatchEvent(new Event('change', { bubbles: true }));
  button.click();
}"""
TOP = "element => Math.round(element.getBoundingClientRect().top)"
RING = """() => [document.activeElement.matches('h2:focus-visible'), getComputedStyle(document.activeElement).outlineStyle]"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Run one service and one browser for all tests."""
    async with open_house(tmp_path_factory.mktemp("newcomer"), "--gemini-latency=1") as opened:
        yield opened


def blank(width: int, height: int) -> bytes:
    """Draw an empty PNG."""
    file = BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


async def refuse(seen: Visit, photo: bytes, why: str) -> None:
    """Choose what is no photo for the service and press the button in the same moment: the form says why."""
    await seen.page.evaluate(CHOOSE_AND_PRESS, list(photo))
    await expect(seen.find("error")).to_contain_text(why)


async def test_what_is_no_photo_is_refused_before_it_is_sent(house: House) -> None:
    """By its first bytes, by what the browser cannot read, and by its sides; the photo that was chosen before stays."""
    service, browser = house
    async with visit(browser, service.url) as seen, aiohttp.ClientSession() as session:
        await sign_in(seen, "alice")
        limits = await seen.page.evaluate(LIMITS)
        await seen.page.set_input_files(seen.hook("photo-input"), PHOTO)
        await expect(seen.find("preview")).to_be_visible()
        await refuse(seen, NO_PHOTO, "not a readable photo")
        await refuse(seen, blank(1, 30_000), "32 to 16,000 pixels")
        await refuse(seen, blank(64, 64)[:20], "not a readable photo")
        kept = await seen.page.locator(".preview-name").inner_text()
        uploads = [url for url in seen.requested if "upload" in url and "/page/" not in url]
        wishes = seen.page.get_by_role("textbox", name="Wishes (optional)", exact=True)
        await expect(wishes).to_have_accessible_description("0 / 2,000")
        await (await Person.sign_in(session, service.url, "alice")).generate(NO_PHOTO)
        await expect(seen.find("job-error", seen.jobs("failed"))).to_contain_text("32 to 16,000 pixels")

        assert 0 == await seen.find("retry").count()

    pixels = {images.CONTENT_TYPES[name]: most for name, most in images.MAX_PIXELS.items()}
    assert [images.MIN_SIDE_PIXELS, images.MAX_SIDE_PIXELS, pixels] == limits
    assert "astronaut.png" in kept
    assert [] == uploads
    assert [] == seen.complaints


async def test_what_one_looks_at_stays_whole_and_in_its_place(house: House) -> None:
    """A press on Develop hides nothing, the end of the job moves nothing, and the form says that it goes on below."""
    service, browser = house
    async with visit(browser, service.url) as seen:
        await seen.page.set_viewport_size({"width": 1280, "height": 800})
        await sign_in(seen, "berta")
        more = seen.find("more-options")
        await more.click()
        await expect(seen.find("prompt")).to_be_in_viewport(ratio=1)
        await expect(more).to_have_count(0)
        await seen.page.set_input_files(seen.hook("photo-input"), PHOTO)
        await expect(seen.find("preview")).to_be_visible()
        await seen.page.evaluate("scrollTo(0, 0)")
        # A click of Playwright's scrolls first.
        await seen.find("submit").dispatch_event("click")
        await expect(seen.find("gallery-hint")).to_contain_text("You can close this tab")
        sheet = seen.page.locator(".print .sheet")
        tops = [await sheet.evaluate(TOP), await seen.page.evaluate("scrollY")]
        await expect(seen.find("gallery-hint")).to_be_in_viewport(ratio=1)
        await expect(seen.jobs("completed")).to_have_count(1)
        await expect(seen.find("gallery-hint")).to_have_count(0)
        tops += [await sheet.evaluate(TOP), await seen.page.evaluate("scrollY")]
        await seen.page.keyboard.press("Tab")
        await seen.page.evaluate("location.hash = '#cracks'")
        await seen.page.wait_for_function("() => document.activeElement.matches('h2')")
        ring = await seen.page.evaluate(RING)

    assert [tops[0], 0, tops[0], 0] == tops
    assert [True, "none"] == ring
    assert [] == seen.complaints


async def test_a_lost_network_is_told_where_one_looks_and_nothing_is_called_sent(house: House) -> None:
    """Scrolled far below the header the page still says so, and a press on the button is not called an upload of 100 %."""
    service, browser = house
    async with visit(browser, service.url) as seen:
        await seen.page.set_viewport_size({"width": 1280, "height": 500})
        await sign_in(seen, "carl")
        await seen.submit("first")
        await expect(seen.jobs("completed")).to_have_count(1)
        await seen.page.context.set_offline(True)
        await expect(seen.find("connection")).to_have_attribute("data-state", "offline")
        # The photo is stored already: all that is left is the request itself.
        await seen.page.fill(seen.hook("prompt"), "second")
        await seen.page.click(seen.hook("submit"))
        await expect(seen.find("submit")).to_have_text(re.compile("No connection"))
        await expect(seen.find("upload")).to_contain_text("Not sent yet")
        words = await seen.find("upload").inner_text()
        line = seen.find("out-of-touch").get_by_text("There is no network")
        await seen.page.evaluate("scrollTo(0, document.body.scrollHeight)")
        await expect(line).to_be_in_viewport(ratio=1)
        await expect(seen.find("connection")).not_to_be_in_viewport()
        await seen.page.context.set_offline(False)
        await expect(line).to_have_count(0)

    assert "%" not in words
    assert "Sending" not in words


async def test_a_phone_is_told_what_a_phone_can_do(house: House) -> None:
    """It neither drops nor pastes; no button is left alone on its line."""
    service, browser = house
    async with visit(browser, service.url, has_touch=True, is_mobile=True) as seen:
        await seen.page.set_viewport_size({"width": 390, "height": 800})
        await sign_in(seen, "dora")
        hint = await seen.page.locator(".photo-hint").inner_text()
        await seen.page.set_input_files(seen.hook("photo-input"), PHOTO)
        await expect(seen.find("preview")).to_be_visible()
        tops = [await each.evaluate(TOP) for each in await seen.page.locator(".photo-actions > *").all()]
        await seen.page.click(seen.hook("submit"))
        await expect(seen.jobs("completed")).to_have_count(1)
        lines = [await seen.find(name).evaluate(TOP) for name in ("download", "zoom", "use", "delete")]

    assert "Choose a photo, or take one" == hint
    assert [tops[0]] * 3 == tops
    assert lines[:1] + lines[2:3] == lines[1:2] + lines[3:]
