"""The page's view of crack detection."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.visit import PICTURES, overlap, shown_boxes, sign_in, visit
from tests.drawings import Crack, save_jpeg, wall
from tests.journey.running import Running, embedded_service

pytestmark = pytest.mark.timeout(180)

SIZE = (1600, 1200)
STRONG = Crack(x=200, y=150, width=600, height=500, strength=0.95)
WEAK = Crack(x=1000, y=850, width=260, height=160, thickness=6, strength=0.4)
DETECT = "**/detect-crack"
ON_THE_PHOTO = """svg => {
  const [over, photo] = [svg, svg.parentElement.querySelector('img')].map((element) => element.getBoundingClientRect());
  const picture = svg.parentElement.querySelector('img');
  const isSame = ['x', 'y', 'width', 'height'].every((side) => Math.abs(over[side] - photo[side]) < 1);
  return isSame && Math.abs(photo.width / photo.height - picture.naturalWidth / picture.naturalHeight) < 0.01;
}"""


async def test_cracks_are_framed_where_they_are_and_the_threshold_moves_at_once(
    browser: Browser, tmp_path: Path
) -> None:
    """The boxes lie on the drawn cracks; the slider, by keyboard, shows more or fewer without asking the service."""
    drawing = wall([STRONG, WEAK], size=SIZE)
    async with embedded_service(tmp_path, "--gemini-latency=0.2") as service, visit(browser, service.url) as seen:
        await sign_in(seen, "alice")
        await seen.show("cracks")
        await seen.send(save_jpeg(drawing.image))
        card = seen.jobs("completed")
        await expect(card).to_have_count(1)
        verdict, slider = seen.find("verdict", card), seen.find("threshold", card)
        await slider.focus()
        await expect(seen.find("threshold-value", card)).to_have_text("50%")
        asked = len(seen.requested)
        await seen.page.keyboard.press("Home")
        await expect(verdict).to_have_text(re.compile(r"^2 cracks, the surest \d+%\.$"))
        boxes = await shown_boxes(card)
        await slider.blur()
        await seen.page.screenshot(path=PICTURES / "cracks.png")
        await slider.focus()
        lies_on_photo = await seen.find("boxes", card).evaluate(ON_THE_PHOTO)
        described = await seen.find("boxes", card).get_attribute("aria-label")
        await seen.page.keyboard.press("End")
        await expect(verdict).to_contain_text("No crack at this threshold; 2 below it.")
        await expect(seen.find("threshold-value", card)).to_have_text("100%")
        none = await shown_boxes(card)
        asked_meanwhile = seen.requested[asked:]

    assert [] == none
    assert [] == asked_meanwhile
    assert [] == seen.complaints
    assert lies_on_photo
    assert described is not None
    assert described.startswith("2 cracks")
    assert all(max(overlap(box, crack) for box in boxes) > 0.5 for crack in drawing.boxes)


async def test_places_are_told_in_words_and_the_result_picture_is_compared(
    browser: Browser, demo: Running, person: str
) -> None:
    """Who does not see the boxes reads where they are; before and after can be compared as with portraits."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("cracks")
        await seen.send(save_jpeg(wall([STRONG], size=SIZE).image))
        card = seen.jobs("completed")
        await seen.find("places", card).click()
        await expect(card.get_by_role("listitem")).to_have_text(
            re.compile(r"^\d+%: (top left|middle left|in the middle)")
        )
        await seen.page.click(seen.hook("view-slider"))
        await expect(card.get_by_role("slider", name=re.compile("Before and after"))).to_be_visible()
        result = seen.find("result-image", card)
        painted = await result.evaluate("picture => picture.decode().then(() => picture.naturalWidth > 0)")
        threshold = await seen.find("threshold", card).count()
        await seen.page.click(seen.hook("view-boxes"))
        await expect(seen.find("threshold", card)).to_be_visible()
        small = await seen.small_targets()

    assert (True, 0) == (painted, threshold)
    assert [] == small
    assert [] == seen.complaints


async def test_a_sound_wall_has_no_crack_in_words(browser: Browser, demo: Running, person: str) -> None:
    """Nothing found is an answer, in the reader's language."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("cracks")
        await seen.send(save_jpeg(wall(size=SIZE, socket=True).image))
        verdict = seen.find("verdict")
        await expect(verdict).to_have_text("No crack found.")
        await seen.page.click(seen.hook("language"))
        await expect(verdict).to_have_text("균열이 없습니다.")

        assert 0 == await seen.find("box").count()


async def test_a_photo_is_sent_without_waiting_and_once_though_its_answer_is_lost(
    browser: Browser, demo: Running, person: str
) -> None:
    """The request says "do not wait" and has a key; sent again after a lost answer it is the same job."""
    headers: list[dict[str, str]] = []
    statuses: list[int] = []

    async def lose_first(route: Route) -> None:
        headers.append(await route.request.all_headers())
        answer = await route.fetch()
        statuses.append(answer.status)
        if len(headers) == 1:
            await route.abort("connectionreset")
        else:
            await route.fulfill(response=answer)

    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("cracks")
        await seen.page.route(DETECT, lose_first)
        await seen.send(save_jpeg(wall([STRONG], size=SIZE).image))
        await expect(seen.jobs("completed")).to_have_count(1)
        await expect(seen.find("submit")).to_be_enabled()
        await expect(seen.find("upload")).to_have_count(0)
        await expect(seen.find("quota")).to_have_attribute("data-remaining", "9")

        assert 1 == await seen.jobs().count()
        assert 0 == await seen.find("error").count()

    assert 2 == len(headers)
    assert 202 == statuses[0]
    assert {"wait=0"} == {each["prefer"] for each in headers}
    assert 1 == len({each["idempotency-key"] for each in headers})


async def test_what_is_no_photo_is_refused_in_words(browser: Browser, demo: Running, person: str) -> None:
    """Before it is sent, and the form is ready for another."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("cracks")
        await seen.choose(json.dumps({"this": "is no JPEG"}).encode())
        await expect(seen.find("error")).to_have_text(re.compile("not a readable photo"))
        await expect(seen.find("submit")).to_be_enabled()
        await expect(seen.find("upload")).to_have_count(0)
