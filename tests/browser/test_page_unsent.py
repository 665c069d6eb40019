"""What a person has written is neither promised before it is sent, nor lost when it is not."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Request, expect

from tests.browser.visit import FOCUSED, sign_in, visit
from tests.drawings import save_jpeg, wall
from tests.journey.running import Running

pytestmark = pytest.mark.timeout(180)

KEPT = "Object.keys(sessionStorage).filter((key) => key.startsWith('darkroom.drafts')).length"


async def test_an_entry_that_could_not_be_sent_waits_and_is_sent_again_as_one(
    browser: Browser, demo: Running, person: str
) -> None:
    """Offline nothing is promised; back online the card offers to send it, under the key it had, and the form is emptied then."""
    keys: list[str | None] = []

    def note(request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/diary"):
            keys.append(request.headers.get("idempotency-key"))

    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("diary")
        seen.page.on("request", note)
        await seen.page.context.set_offline(True)
        await expect(seen.find("connection")).to_have_attribute("data-state", "offline")
        await seen.page.fill(seen.hook("entry"), "It rained.")
        await seen.page.focus(seen.hook("submit"))
        await seen.page.keyboard.press("Enter")
        card = seen.find("upload")
        await expect(card).to_contain_text("Not sent yet: no connection.")
        promised = await seen.page.get_by_text("You can close this tab").count()
        await expect(seen.find("gallery-hint")).to_contain_text("Keep this tab open")
        await expect(card).to_have_attribute("data-status", "unsent")
        await expect(seen.find("error")).to_contain_text("cannot be reached")
        focused, written = await seen.page.evaluate(FOCUSED), await seen.page.input_value(seen.hook("entry"))
        await seen.page.context.set_offline(False)
        await expect(seen.find("upload-unsent")).to_contain_text("There is a connection now")
        await expect(seen.find("error")).to_have_count(0)
        await seen.page.focus(seen.hook("upload-again"))
        await seen.page.keyboard.press("Enter")
        await expect(seen.jobs("completed")).to_have_count(1)
        await expect(card).to_have_count(0)
        refocused = await seen.page.evaluate(f"{FOCUSED} || document.activeElement.tagName")

        assert "" == await seen.page.input_value(seen.hook("entry"))
        assert 0 == await seen.page.evaluate(KEPT)
        assert 1 == await seen.jobs().count()

    assert (0, "submit", "It rained.") == (promised, focused, written)
    assert "gallery-title" == refocused
    assert 1 == len(set(keys))
    assert None not in keys


async def test_a_draft_outlives_a_reload_and_ends_with_the_session(
    browser: Browser, demo: Running, person: str
) -> None:
    """The same person finds the entry again, another does not; signing out forgets it. A photo that was sent leaves its form."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("diary")
        await seen.page.fill(seen.hook("entry"), "Half a day")
        await seen.page.fill(seen.hook("entry-date"), "2026-11-19")
        await seen.page.reload()
        await expect(seen.find("entry")).to_have_value("Half a day")
        await expect(seen.find("entry-date")).to_have_value("2026-11-19")
        kept = [await seen.page.evaluate(KEPT)]
        await seen.page.click(seen.hook("sign-out"))
        kept.append(await seen.page.evaluate(KEPT))
        await sign_in(seen, person)
        await expect(seen.find("entry")).to_have_value("")
        await seen.show("cracks")
        await seen.send(save_jpeg(wall(size=(400, 300)).image))
        await expect(seen.jobs("completed")).to_have_count(1)
        await expect(seen.find("preview")).to_have_count(0)

    assert [1, 0] == kept
    assert [] == seen.complaints
