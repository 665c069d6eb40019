"""The page's view of the diary."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.browser.visit import PICTURES, sign_in, visit
from tests.journey.running import Running, embedded_service

pytestmark = pytest.mark.timeout(180)

HAPPY = "오늘은 친구와 바다에 갔다. 정말 행복하고 즐거웠다."
SAD = "I was so sad today. I cried because my friend moved away."
BEYOND = "(parts, width) => parts.filter((part) => part.getBoundingClientRect().right > width).map(({ className }) => className)"
WALK = "A calm walk along the river with an old friend. I was happy and grateful all the way home."
VALUES = "meters => meters.map((meter) => [meter.parentElement.dataset.emotion, meter.value])"


async def test_an_entry_tells_its_mood_at_once_and_shows_its_picture_later(
    browser: Browser, demo: Running, person: str
) -> None:
    """Korean text: mood and keywords while the picture is painted, then the picture; nothing goes away in between."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("diary")
        day = await seen.page.input_value(seen.hook("entry-date"))
        await seen.page.fill(seen.hook("entry"), HAPPY)
        count = await seen.find("entry-count").inner_text()
        # The marker holds the picture up, and the picture only.
        await seen.page.fill(seen.hook("entry-style"), "pencil [[sim:slow=5]]")
        await seen.page.click(seen.hook("submit"))
        running = seen.jobs("processing")
        await expect(seen.find("mood", running)).to_have_attribute("data-label", "positive")
        early = await seen.find("keywords", running).inner_text()
        card = seen.jobs("completed")
        await expect(card).to_have_count(1)
        picture = seen.find("result-image", card)
        painted = await picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth > 0)")
        late = await seen.find("keywords", card).inner_text()
        text = await seen.find("entry-text", card).inner_text()
        emotions = dict(await card.locator("meter").evaluate_all(VALUES))
        named = await card.get_by_role("meter", name="Joy").count()

    assert date.fromisoformat(day) is not None
    assert f"{len(HAPPY)} / 5,000" == count
    assert early == late != ""
    assert (HAPPY, True, 1) == (text, painted, named)
    assert "joy" == max(emotions, key=lambda emotion: emotions[emotion])
    assert [] == seen.complaints


async def test_an_entry_whose_picture_is_refused_keeps_what_was_read(
    browser: Browser, demo: Running, person: str
) -> None:
    """The mood is there, and words say why there is no picture; a sad entry is not happy."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("diary")
        await seen.page.fill(seen.hook("entry"), SAD)
        await seen.page.fill(seen.hook("entry-style"), "[[sim:safety]]")
        await seen.page.click(seen.hook("submit"))
        card = seen.jobs("completed")
        await expect(seen.find("mood", card)).to_have_attribute("data-label", "negative")
        failure = seen.find("image-failure", card)
        await expect(failure).to_contain_text("There is no picture.")
        await seen.page.click(seen.hook("language"))
        await expect(failure).to_contain_text(re.compile("[가-힣]{2}"))

        assert 0 == await seen.find("result-image", card).count()
        assert 0 == await seen.find("download", card).count()

    assert [] == seen.complaints


async def test_long_words_fit_a_small_phone_and_nothing_is_cut_in_silence(
    browser: Browser, demo: Running, person: str
) -> None:
    """A word of 400 letters stays inside 320 pixels; an entry that is too long is refused whole, and said to be so."""

    def lengthen(route: WebSocketRoute) -> None:
        long = re.compile(r'"keywords":\s*\[[^\]]*\]')
        server = route.connect_to_server()
        server.on_message(lambda frame: route.send(long.sub(f'"keywords":["{"c" * 400}"]', str(frame))))

    async with visit(browser, demo.url) as seen:
        await seen.page.set_viewport_size({"width": 320, "height": 700})
        await seen.page.route_web_socket(re.compile("/ws"), lengthen)
        await sign_in(seen, person)
        await seen.show("diary")
        await seen.page.fill(seen.hook("entry"), "a" * 5_001)
        await expect(seen.find("entry-too-long")).to_contain_text("at most 5,000")
        await seen.page.click(seen.hook("submit"))
        await expect(seen.find("error")).to_contain_text("too long")
        whole = len(await seen.page.input_value(seen.hook("entry")))
        await seen.page.fill(seen.hook("entry"), "a" * 130)
        await seen.page.fill(seen.hook("entry-style"), "b" * 100)
        await seen.page.click(seen.hook("submit"))
        card = seen.jobs("completed")
        await expect(seen.find("keywords", card)).to_contain_text("c" * 400)
        await card.scroll_into_view_if_needed()
        wide = await seen.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        beyond = await card.locator("*").evaluate_all(BEYOND, 320)
        small = await seen.small_targets()

    assert (5_001, False, [], []) == (whole, wide, beyond, small)


async def test_a_style_is_offered_and_may_be_in_ones_own_words(browser: Browser, tmp_path: Path) -> None:
    """A suggestion fills the field and a second press empties it; the day and the style travel with the entry."""
    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2") as service,
        visit(browser, service.url) as seen,
    ):
        await sign_in(seen, "alice")
        await seen.show("diary")
        chip = seen.find("style-watercolour")
        await chip.click()
        await expect(seen.find("entry-style")).to_have_value("watercolour")
        await expect(chip).to_have_attribute("aria-pressed", "true")
        await chip.click()
        await expect(seen.find("entry-style")).to_have_value("")
        await chip.click()
        await seen.page.fill(seen.hook("entry-date"), "2026-11-20")
        await seen.page.click(seen.hook("submit"))
        await expect(seen.find("error")).to_have_text("Please write your entry first.")
        await seen.page.fill(seen.hook("entry"), WALK)
        async with seen.page.expect_request("**/diary") as asked:
            await seen.page.click(seen.hook("submit"))
        request = await asked.value
        card = seen.jobs("completed")
        await expect(card.get_by_role("heading")).to_have_text("Friday, November 20, 2026")
        await expect(card).to_contain_text("Style: watercolour")
        await seen.find("result-image", card).evaluate("picture => picture.decode()")
        await seen.page.evaluate("scrollTo(0, 0)")
        await seen.page.screenshot(path=PICTURES / "diary.png")

    assert {"text": WALK, "date": "2026-11-20", "style": "watercolour"} == request.post_data_json
    assert request.headers["idempotency-key"]
    assert [] == seen.complaints
