"""Going from one system's view to another's."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.browser.stage import PHOTO
from tests.browser.visit import FOCUSED, develop, sign_in, visit
from tests.journey.running import Running

pytestmark = pytest.mark.timeout(180)

VIEWS = {"photos": "Photos", "cracks": "Cracks", "parking": "Parking", "diary": "Diary"}
LINES_OF_LINKS = (
    "new Set([...document.querySelectorAll('.views a')].map((link) => link.getBoundingClientRect().top)).size"
)
OPEN_ALL = "open => document.querySelectorAll('details').forEach((each) => { each.open = open; })"
FLAWS = """() => {
  const flaws = [];
  const ids = [...document.querySelectorAll('[id]')].map(({ id }) => id);
  flaws.push(...ids.filter((id, index) => ids.indexOf(id) !== index).map((id) => `two of #${id}`));
  for (const name of ['aria-labelledby', 'aria-describedby', 'for']) {
    for (const element of document.querySelectorAll(`[${name}]`)) {
      const missing = element.getAttribute(name).split(' ').filter((id) => !document.getElementById(id));
      flaws.push(...missing.map((id) => `${name} of nothing: ${id}`));
    }
  }
  const isNamed = (element) => element.getAttribute('aria-label') || element.hasAttribute('aria-labelledby') ||
    [...(element.labels ?? [])].some(({ textContent }) => textContent.trim()) ||
    (/^(A|BUTTON|SUMMARY)$/.test(element.tagName) && element.textContent.trim());
  for (const element of document.querySelectorAll('input, textarea, select, meter, progress, button, a, summary, [role=img]')) {
    if (!isNamed(element)) flaws.push(`no name: ${element.outerHTML.slice(0, 120)}`);
  }
  flaws.push(...[...document.querySelectorAll('img:not([alt])')].map(({ src }) => `no alt: ${src}`));
  const levels = [...document.querySelectorAll('h1, h2, h3, h4')].map(({ tagName }) => Number(tagName[1]));
  levels.forEach((level, index) => { if (level > (levels[index - 1] ?? 0) + 1) flaws.push(`h${level} skips a level`); });
  return flaws;
}"""
"""What a screen reader would stumble over: names that are missing, ids that are double, headings that skip a level."""


async def test_each_view_has_an_address_a_title_and_a_place_in_the_history(
    browser: Browser, demo: Running, person: str
) -> None:
    """The links work by keyboard and lead to the view's heading; Back leads back; an address opens its view."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        titles = {}
        for view, name in VIEWS.items():
            await seen.page.focus(seen.hook(f"view-link-{view}"))
            await seen.page.keyboard.press("Enter")
            await expect(seen.page).to_have_url(re.compile(f"#{view}$"))
            await expect(seen.page).to_have_title(re.compile(f"^{name}"))
            titles[view] = await seen.page.title()
        focused = await seen.page.evaluate(FOCUSED)
        await seen.page.go_back()
        await expect(seen.find("view-link-parking")).to_have_attribute("aria-current", "page")
        await seen.page.reload()
        await expect(seen.page).to_have_title("Parking · Darkroom")
        await seen.page.goto(f"{demo.url}#no-such-view")
        await expect(seen.find("view-link-photos")).to_have_attribute("aria-current", "page")

    assert titles == {view: f"{name} · Darkroom" for view, name in VIEWS.items()}
    assert "composer-title" == focused
    assert [] == seen.complaints


async def test_a_view_keeps_what_was_begun_in_it(browser: Browser, demo: Running, person: str) -> None:
    """A photo and words wait while the person looks at another view; each view has its own."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.page.set_input_files(seen.hook("photo-input"), PHOTO)
        await seen.page.fill(seen.hook("prompt"), "a navy jacket")
        await seen.show("cracks")
        await expect(seen.find("preview")).to_have_count(0)
        await seen.show("diary")
        await seen.page.fill(seen.hook("entry"), "It rained.")
        await seen.show("photos")
        kept = await seen.page.input_value(seen.hook("prompt"))
        is_shown = await seen.find("preview").evaluate(
            "picture => picture.decode().then(() => picture.naturalWidth > 0)"
        )
        await seen.show("diary")

        assert "It rained." == await seen.page.input_value(seen.hook("entry"))

    assert ("a navy jacket", True) == (kept, is_shown)


async def test_a_gallery_shows_its_own_jobs_and_other_views_tell_of_them(
    browser: Browser, demo: Running, person: str
) -> None:
    """A photo developed from one view is in no other's gallery, and its picture is there on return."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.submit("[[sim:slow=6]]")
        await expect(seen.jobs("processing")).to_have_count(1)
        counts = {}
        for view in ("cracks", "parking", "diary"):
            await seen.show(view)
            await expect(seen.find("empty")).to_be_visible()
            await expect(seen.find("view-link-photos")).to_contain_text("1 under way")
            counts[view] = await seen.jobs().count()
        await expect(seen.page.locator("#announcements")).to_contain_text("Done")
        await expect(seen.page).to_have_title("Diary · Darkroom")
        await seen.show("photos")
        await expect(seen.jobs("completed")).to_have_count(1)
        picture = seen.find("original-image")
        painted = await picture.evaluate("picture => picture.decode().then(() => picture.naturalWidth > 0)")

    assert {"cracks": 0, "parking": 0, "diary": 0} == counts
    assert painted
    assert [] == seen.complaints


async def test_a_job_of_a_system_without_a_view_breaks_nothing(browser: Browser, demo: Running, person: str) -> None:
    """The service may be newer than the page: such a job is not shown, and the others are."""

    def rename(route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        server.on_message(lambda frame: route.send(str(frame).replace('"profile-photo"', '"toy-system"')))

    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await develop(seen, "professional")
        await seen.page.route_web_socket(re.compile("/ws"), rename)
        await seen.page.reload()
        await expect(seen.find("connection")).to_have_attribute("data-state", "live")
        for view in VIEWS:
            await seen.show(view)
            await expect(seen.find("empty")).to_be_visible()

        assert 0 == await seen.jobs().count()

    assert [] == seen.complaints


@pytest.mark.parametrize("language", ["en-US", "ko-KR"])
async def test_every_view_fits_a_small_phone_and_a_screen_reader(
    browser: Browser, demo: Running, person: str, language: str
) -> None:
    """Nothing is wider than 320 pixels, the links are one line, everything has a name, and every key has its words."""
    async with visit(browser, demo.url, locale=language) as seen:
        await seen.page.set_viewport_size({"width": 320, "height": 700})
        await sign_in(seen, person)
        lines = await seen.page.evaluate(LINES_OF_LINKS)
        found = {}
        for view in VIEWS:
            await seen.show(view)
            await seen.page.evaluate(OPEN_ALL, True)
            wide = await seen.page.evaluate("document.documentElement.scrollWidth > innerWidth")
            text = await seen.page.inner_text("main")
            keys = re.findall(r"\b(?:photos|cracks|parking|diary|report|box|job)\.[a-z][\w.]+", text)
            found[view] = (wide, keys, await seen.page.evaluate(FLAWS))
            await seen.page.evaluate(OPEN_ALL, False)

    assert 1 == lines
    assert {view: (False, [], []) for view in VIEWS} == found
    assert [] == seen.complaints
