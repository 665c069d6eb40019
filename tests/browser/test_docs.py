"""The documentation in a real browser: read, tried and talked to, without a request to anywhere else."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.conftest import CHROMIUM
from tests.browser.stage import PHOTO
from tests.browser.test_page_everywhere import faults
from tests.browser.visit import PICTURES, Visit, visit
from tests.conftest import CHECKOUT
from tests.journey.running import Running, embedded_service
from tests.person import Person
from websocket import asyncapi

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

DOCS = CHECKOUT / "service" / "page" / "docs"
WORDS_OF_THE_DOCUMENT = re.compile(r"docs\.(message|close|reconnect)\..+|docs\.(introduction|stream|poll)")
KEPT = """async () => {
  const { Talk } = await import('/page/docs/talk.js');
  const talk = new Talk(async () => '', { closed: () => '', nothingMissed: () => '' }, 3);
  await talk.open({ withToken: false, since: '' });
  await new Promise((resolve) => { talk.onChange = () => talk.state === 'open' && resolve(); });
  for (let number = 0; number < 5; number += 1) await talk.send(`{"type":"ping${number}"}`);
  return talk.entries.map(({ title }) => title);
}"""
GROUNDS = (
    "() => ['.swagger-ui', '.opblock'].map((each) => getComputedStyle(document.querySelector(each)).backgroundColor)"
)
EXAMPLES = """all => all.map((each) =>
  [each.dataset.message, ...['summary', 'pre'].map((part) => each.querySelector(part).textContent)])"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Run the embedded mode."""
    async with embedded_service(tmp_path_factory.mktemp("data"), "--gemini-latency=0.2") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """Launch Debian's Chromium."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM)
        yield launched
        await launched.close()


@asynccontextmanager
async def reader(browser: Browser, url: str, **options: object) -> AsyncIterator[Visit]:
    """Open a page of the documentation and continue as alice."""
    async with visit(browser, url, **options) as seen:  # type: ignore[arg-type]
        await seen.page.fill(seen.hook("demo-user"), "alice")
        await seen.page.click(seen.hook("sign-in"))
        await expect(seen.find("account")).to_contain_text("alice")
        yield seen


async def test_a_route_is_tried_as_the_person_and_nobody_else_is_asked(service: Running, chromium: Browser) -> None:
    """The viewer runs under the page's strict policy, has the person's token while there is one, and asks this service only."""
    statuses, barriers = [], ["never looked at"]
    async with reader(chromium, f"{service.url}/docs") as seen:
        operation = seen.page.locator(".opblock", has=seen.page.locator("[data-path='/user/me']")).first
        await seen.page.screenshot(path=PICTURES / "docs.png")
        await operation.locator(".opblock-summary-control").click()
        await operation.get_by_role("button", name="Try it out").click()
        for press in ("sign-out", None):
            await operation.get_by_role("button", name="Execute").click()
            status = operation.locator(".live-responses-table tbody .response-col_status").first
            await expect(status).to_have_text("401" if press is None else "200")
            statuses.append(await status.inner_text())
            if press:
                barriers = await faults(seen)
                await seen.page.click(seen.hook(press))
        foreign = [url for url in seen.requested if not url.startswith((service.url, "data:"))]
        policy = (await seen.page.request.get(f"{service.url}/docs")).headers["content-security-policy"]

    assert ["200", "401"] == statuses
    assert [] == barriers
    assert [] == foreign
    assert "unsafe" not in policy
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    # The 401 is the reader's own doing.
    assert [] == [complaint for complaint in seen.complaints if "401" not in complaint]


async def test_the_documents_fit_a_dark_phone_in_korean(service: Running, chromium: Browser) -> None:
    """Both pages speak the reader's language, follow the system's colours, are no wider than the screen, and axe finds nothing."""
    async with visit(chromium, f"{service.url}/docs", locale="ko-KR", color_scheme="dark") as seen:
        await seen.page.set_viewport_size({"width": 360, "height": 780})
        await seen.page.wait_for_selector(".opblock")
        found = [*await faults(seen), await seen.page.locator("html.dark-mode").count()]
        grounds = await seen.page.evaluate(GROUNDS)
        await seen.page.click(seen.hook("docs-link-websocket"))
        await seen.page.wait_for_selector(seen.hook("close-codes"))
        await seen.page.locator(".message summary").first.click()
        found += [*await faults(seen), await seen.page.get_attribute("html", "lang")]
        told = await seen.page.locator(".message .summary, [data-testid=close-codes] td").all_inner_texts()

    assert [1, "ko"] == found
    assert ["rgba(0, 0, 0, 0)", "rgb(29, 23, 20)"] == grounds, "the viewer has colours of its own"
    assert len(told) > 30
    assert [] == [words for words in told if not re.search("[가-힣]", words)]
    assert [] == seen.complaints


async def test_each_message_has_an_example_that_is_one(service: Running, chromium: Browser) -> None:
    """What stands on the page under a message's name is what the document allows under it."""
    document = asyncapi.document(service.url)
    async with visit(chromium, f"{service.url}/docs/websocket") as seen:
        await seen.page.wait_for_selector(seen.hook("close-codes"))
        shown = await seen.page.locator(".message").evaluate_all(EXAMPLES)

    missing = {key.removeprefix("client.") for key in document["components"]["messages"]}
    for key, summary, example in shown:
        message = json.loads(example)
        prefix = "client." if key.startswith("client.") else ""
        payload = document["components"]["messages"][prefix + message["type"]]["payload"]
        Draft202012Validator({**payload, "components": document["components"]}).validate(message)
        missing -= set(summary.split())
    assert set() == missing


async def test_a_person_talks_over_the_console(service: Running, chromium: Browser) -> None:
    """Connect, see a job go by, resume, ping, say nonsense, leave, and come back with a hello; no token is ever on the screen."""
    async with reader(chromium, f"{service.url}/docs/websocket") as seen, aiohttp.ClientSession() as session:
        person = await Person.sign_in(session, service.url, "alice")
        log = seen.find("log")
        await seen.page.click(seen.hook("connect"))
        await expect(log).to_contain_text("snapshot")
        await expect(seen.find("template-hello")).to_have_count(0)
        await seen.page.click(seen.hook("template-resume"))
        await seen.page.click(seen.hook("send"))
        await expect(log.locator("[data-way=note]").last).to_contain_text("Nothing was missed")
        job_id = await person.generate(PHOTO.read_bytes())
        await expect(log).to_contain_text(re.compile(rf"job\.completed · {job_id} · v\d+ · completed"))
        for template in ("resume", "ping"):
            await seen.page.click(seen.hook(f"template-{template}"))
            await seen.page.click(seen.hook("send"))
        await expect(log.locator("[data-way=in]").last).to_contain_text("ping")
        await seen.page.fill(seen.hook("message"), "{")
        await seen.page.press(seen.hook("message"), "Control+Enter")
        await expect(seen.find("console-problem")).to_be_visible()
        await seen.page.click(seen.hook("connect"))
        await expect(log.locator("[data-way=note]").last).to_contain_text("1000")

        await seen.page.click(seen.hook("clear"))
        await seen.page.uncheck(seen.hook("with-token"))
        await seen.page.click(seen.hook("connect"))
        await expect(seen.find("console")).to_have_attribute("data-state", "open")
        await seen.page.click(seen.hook("template-hello"))
        await seen.page.click(seen.hook("send"))
        await expect(log).to_contain_text("welcome")
        said, barriers = await log.text_content(), await faults(seen)
        roles = [await log.get_attribute("role"), await seen.page.evaluate(KEPT)]

    assert "$TOKEN" in str(said)
    assert "eyJ" not in str(said)
    assert [] == barriers
    assert ["log", ["ping2", "ping3", "ping4"]] == roles
    assert [] == seen.complaints


async def test_the_viewer_is_the_one_that_was_vendored(service: Running) -> None:
    """Packed or unpacked, it is what its readme names, with its type, and asked for again by its tag."""
    readme = (DOCS / "vendor" / "README.md").read_text(encoding="utf-8")
    async with aiohttp.ClientSession(service.url, auto_decompress=False) as session:
        for name, kind in (("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css")):
            for accepted, encoding in (("gzip, br", "gzip"), ("gzip;q=0", None), ("identity", None)):
                async with session.get(f"/docs/{name}", headers={"Accept-Encoding": accepted}) as answer:
                    body = await answer.read()
                assert (encoding, kind) == (answer.headers.get("Content-Encoding"), answer.content_type)
                assert "no-cache" == answer.headers["Cache-Control"]
                assert hashlib.sha256(gzip.decompress(body) if encoding else body).hexdigest() in readme


async def test_korean_has_the_words_of_english_and_of_the_document() -> None:
    """What the service's document says in English is in the Korean catalogue alone."""
    english, korean = (json.loads((DOCS / "i18n" / f"{language}.json").read_text()) for language in ("en", "ko"))

    assert set() == english.keys() - korean.keys()
    assert [] == [key for key in korean.keys() - english.keys() if not WORDS_OF_THE_DOCUMENT.fullmatch(key)]
