"""The page in both languages, both themes and two widths, as a screen reader meets it, installed, and without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from tests.browser.conftest import WHOLE_CHROMIUM
from tests.browser.readers import IS_WIDER, READERS, House, Reader, open_house, reading
from tests.browser.visit import Visit, develop, sign_in
from tests.conftest import CHECKOUT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
AXE = (CHECKOUT / "tests" / "browser" / "vendor" / "axe.min.js").read_text()
RUN_AXE = """async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}))
  .violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`)"""
HIDE = """() => {
  // A browser without a screen hides no tab, so the page is told that this one is.
  Object.defineProperty(document, 'hidden', { get: () => true });
  const show = ServiceWorkerRegistration.prototype.showNotification;
  window.notified = 0;
  ServiceWorkerRegistration.prototype.showNotification = function (...news) {
    window.notified += 1;
    return show.apply(this, news);
  };
}"""
VIEWS = ("photos", "cracks", "parking", "diary")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Run one service and one browser for all readers."""
    async with open_house(tmp_path_factory.mktemp("everywhere"), "--gemini-latency=0.3") as opened:
        yield opened


async def faults(seen: Visit) -> list[str]:
    """Tell what axe finds, and whether the page is wider than the screen."""
    await seen.page.evaluate(AXE)
    found: list[str] = await seen.page.evaluate(RUN_AXE)
    return found + (["wider than the screen"] if await seen.page.evaluate(IS_WIDER) else [])


@pytest.mark.parametrize("reader", READERS, ids=str)
async def test_a_reader_of_any_kind_meets_no_barrier(house: House, reader: Reader) -> None:
    """On the way in, in each view, in each dialog: axe finds nothing, and nothing is wider than the screen."""
    found: dict[str, list[str]] = {}
    async with reading(house, reader) as seen:
        await expect(seen.find("demo-sign-in")).to_be_visible()
        found["sign-in"] = await faults(seen)
        await sign_in(seen, f"reader{READERS.index(reader)}")
        found["empty"] = await faults(seen)
        await develop(seen, "formal_interview")
        for view in VIEWS:
            await seen.show(view)
            found[view] = await faults(seen)
        await seen.show("photos")
        for opener in ("zoom", "account-open", "shortcuts"):
            await seen.find(opener).first.click()
            await expect(seen.page.locator("dialog[open]")).to_have_count(1)
            found[opener] = await faults(seen)
            await seen.page.keyboard.press("Escape")
            await expect(seen.page.locator("dialog[open]")).to_have_count(0)

    assert {} == {place: faults for place, faults in found.items() if faults}
    assert [] == seen.complaints


@pytest.mark.parametrize("path", ["/docs", "/docs/websocket", "/ops"])
async def test_the_other_pages_have_no_barrier(house: House, path: str) -> None:
    """For developers and operators, by night on a wide screen, and by day on a phone where that is not covered elsewhere."""
    found: dict[str, list[str]] = {}
    for reader in (READERS[1],) if path == "/docs" else (READERS[1], READERS[2]):
        async with reading(house, reader, path) as seen:
            await seen.page.wait_for_load_state("networkidle")
            found[str(reader)] = await faults(seen)

    assert {} == {place: faults for place, faults in found.items() if faults}


@asynccontextmanager
async def in_whole_chromium(house: House) -> AsyncIterator[House]:
    """Look at the same service with what people install."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=WHOLE_CHROMIUM)
        yield house[0], browser
        await browser.close()


async def test_the_page_can_be_installed(house: House) -> None:
    """Chromium has nothing to object to in manifest and worker."""
    async with in_whole_chromium(house) as whole, reading(whole, READERS[0]) as seen:
        await seen.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        devtools = await seen.page.context.new_cdp_session(seen.page)
        objections = await devtools.send("Page.getInstallabilityErrors")
        manifest = await devtools.send("Page.getAppManifest")

    # A fresh profile without history counts as one that hides itself.
    assert [] == [error for error in objections["installabilityErrors"] if error["errorId"] != "in-incognito"]
    assert [] == manifest["errors"]


async def test_the_page_opens_without_a_network_and_goes_on_with_it(house: House) -> None:
    """The shell is kept, nothing of the person is, and what is shown says that it is offline."""
    async with reading(house, READERS[0]) as seen:
        await sign_in(seen, "offline")
        await develop(seen, "professional")
        await seen.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        await seen.page.wait_for_function("navigator.serviceWorker.controller !== null")
        await seen.page.context.set_offline(offline=True)
        await seen.page.reload()
        await expect(seen.find("connection")).to_have_attribute("data-state", "offline")
        kept: list[str] = await seen.page.evaluate(
            "caches.keys().then((names) => Promise.all(names.map((name) => caches.open(name).then((cache) => cache.keys()))))"
            ".then((lists) => lists.flat().map(({ url }) => new URL(url).pathname))"
        )
        await seen.page.context.set_offline(offline=False)
        await expect(seen.find("connection")).to_have_attribute("data-state", "live")
        await expect(seen.jobs("completed")).to_have_count(1)

    assert {"/", "/page/app.js", "/app-config.json"} <= set(kept)
    assert [] == [path for path in kept if path.startswith(("/jobs", "/user", "/events"))]


async def test_a_hidden_tab_tells_that_a_picture_is_done(house: House) -> None:
    """Asked for by a button, told once and at the end, with the way to the view."""
    async with in_whole_chromium(house) as whole, reading(whole, READERS[0]) as seen:
        await seen.page.context.grant_permissions(["notifications"])
        await sign_in(seen, "away")
        await seen.submit("[[sim:slow=60]]")
        await seen.find("notify").click()
        await expect(seen.find("notify")).to_have_attribute("aria-pressed", "true")
        await seen.page.evaluate(HIDE)
        await seen.submit("second")
        await expect(seen.jobs("completed")).to_have_count(1)
        await seen.find("cancel").click()
        await expect(seen.jobs("canceled")).to_have_count(1)
        count = await seen.page.evaluate("window.notified")
        told: list[dict[str, Any]] = await seen.page.evaluate(
            "navigator.serviceWorker.ready.then((worker) => worker.getNotifications())"
            ".then((all) => all.map(({ title, data }) => ({ title, hash: data.hash })))"
        )

    assert [{"title": "Darkroom", "hash": "#photos"}] == told
    assert 1 == count
