"""What a person does with pictures: asks for a format, looks closely, begins anew with one."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Browser, Request, expect

from tests.browser.visit import FOCUSED, Visit, sign_in, visit
from tests.drawings import Crack, save_jpeg, wall
from tests.journey.running import Running

pytestmark = pytest.mark.timeout(180)

SHAPE = "picture => picture.decode().then(() => [picture.naturalWidth, picture.naturalHeight])"
SLOW_LINE = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 60_000}
OFF = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
WALL_SIZE = (1600, 1200)


async def ask_for_an_id_photo(seen: Visit) -> None:
    """Take the example, choose style, format and background, and send it."""
    await seen.find("example").click()
    await expect(seen.find("preview")).to_be_visible()
    await expect(seen.find("backgrounds")).to_have_count(0)
    await seen.page.check(seen.hook("style-color_id_photo"), force=True)
    await seen.page.check(seen.hook("background-light-blue"), force=True)
    await seen.page.check(seen.hook("format-id-35x45"), force=True)
    await seen.page.click(seen.hook("submit"))


async def test_an_example_becomes_an_id_photo_to_look_at_closely_and_go_on_with(
    browser: Browser, demo: Running, person: str
) -> None:
    """Format and background are asked for and kept; the picture is enlarged by key; used as photo, it is in the form."""
    bodies: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/generate"):
            bodies.append(json.loads(request.post_data or "{}"))

    async with visit(browser, demo.url) as seen:
        seen.page.on("request", note)
        await sign_in(seen, person)
        await ask_for_an_id_photo(seen)
        card = seen.jobs("completed")
        await expect(card).to_have_count(1)
        shape = await seen.find("result-image", card).evaluate(SHAPE)
        await seen.find("details", card).locator("summary").click()
        facts = await seen.find("details", card).locator("dl").inner_text()
        await seen.find("zoom", card).focus()
        await seen.page.keyboard.press("Enter")
        await expect(seen.find("zoom-dialog")).to_be_visible()
        await seen.page.keyboard.press("+")
        await expect(seen.find("zoom-scale")).to_have_text("150%")
        await seen.page.keyboard.press("0")
        await seen.find("zoom-image").dispatch_event("wheel", {"deltaY": -400, "bubbles": True})
        await expect(seen.find("zoom-scale")).to_have_text("272%")
        await seen.page.keyboard.press("Escape")
        await expect(seen.find("zoom-dialog")).to_have_count(0)
        focused = await seen.page.evaluate(FOCUSED)
        await seen.find("use", card).click()
        await expect(seen.find("preview").locator("xpath=..")).to_contain_text("darkroom-color_id_photo")
        used = await seen.find("preview").evaluate(SHAPE)

    assert [413, 531] == shape == used
    assert ("id-35x45", "light-blue") == (bodies[0]["format"], bodies[0]["background"])
    assert "ID 35 × 45 mm" in facts
    assert "413 × 531 pixels" in facts
    assert "zoom" == focused
    assert [] == seen.complaints


async def test_the_way_of_a_wall_is_told_in_percent(browser: Browser, demo: Running, person: str) -> None:
    """Though it goes with the request itself, to which fetch would tell nothing."""
    photo = save_jpeg(wall([Crack(x=200, y=150, width=600, height=500)], size=WALL_SIZE).image)
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("cracks")
        line = await seen.page.context.new_cdp_session(seen.page)
        await line.send("Network.emulateNetworkConditions", SLOW_LINE)
        await seen.send(photo)
        await expect(seen.find("upload")).to_contain_text(re.compile(r"[1-9]\d?%"))
        await expect(seen.find("submit")).to_contain_text(re.compile(r"Sending \d+%"))
        await line.send("Network.emulateNetworkConditions", OFF)
        await expect(seen.jobs("completed")).to_have_count(1)

    assert [] == seen.complaints


async def test_single_keys_work_but_not_while_typing_nor_when_switched_off(
    browser: Browser, demo: Running, person: str
) -> None:
    """They go to the views and to the photo, and tell of themselves; the connection's state says what it means."""
    async with visit(browser, demo.url) as seen:
        # Listened to from the start: the browser would open one of its own while it is being asked to tell.
        seen.page.on("filechooser", lambda _: None)
        await sign_in(seen, person)
        async with seen.page.expect_file_chooser():
            await seen.page.keyboard.press("u")
        await seen.page.keyboard.press("4")
        await expect(seen.find("view-link-diary")).to_have_attribute("aria-current", "page")
        await seen.find("example").click()
        await expect(seen.find("entry")).to_have_value(re.compile("along the river"))
        await seen.page.fill(seen.hook("entry-style"), "w" * 101)
        await expect(seen.find("entry-style-count")).to_have_text("101 / 100")
        await seen.page.click(seen.hook("submit"))
        await expect(seen.find("error")).to_contain_text("at most 100 characters")
        await seen.page.fill(seen.hook("entry"), "")
        await seen.page.type(seen.hook("entry"), "1?")
        typed = await seen.page.input_value(seen.hook("entry"))
        await seen.page.focus(seen.hook("submit"))
        await seen.page.keyboard.press("?")
        await expect(seen.find("shortcuts-dialog")).to_be_visible()
        await seen.find("shortcuts-on").uncheck()
        await seen.page.keyboard.press("Escape")
        await expect(seen.find("shortcuts-dialog")).to_have_count(0)
        await seen.page.keyboard.press("1")
        await expect(seen.find("view-link-diary")).to_have_attribute("aria-current", "page")
        await seen.find("connection").locator("button").click()
        await expect(seen.find("connection-note")).to_contain_text("the moment it happens")
        await seen.page.context.set_offline(True)
        await expect(seen.find("connection-note")).to_contain_text("There is no network.")

    assert "1?" == typed
