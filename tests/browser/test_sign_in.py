"""Signing in on the pool's own page, staying so, and leaving; the account; what happens to a photo."""

from __future__ import annotations

import asyncio
import re
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aioboto3
import aiohttp
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.conftest import CHROMIUM
from tests.browser.hosted_ui import HostedUI
from tests.browser.stage import running_service
from tests.browser.visit import Visit, sign_in, visit
from tests.browser.wire import Wire
from tests.journey.running import embedded_service

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

TOKEN_SECONDS = 60
PASSWORD = "Negative-0f-a-photo"
STORED = "localStorage.getItem('darkroom.session')"
BREAK = """() => {
  const session = JSON.parse(localStorage.getItem('darkroom.session'));
  const [head, claims] = session.idToken.split('.');
  localStorage.setItem('darkroom.session', JSON.stringify({ ...session, idToken: `${head}.${claims}.AAAA` }));
}"""
"""Spoil the id token, so that the service refuses it."""
AGE = """() => {
  const session = JSON.parse(localStorage.getItem('darkroom.session'));
  localStorage.setItem('darkroom.session', JSON.stringify({ ...session, expiresAt: Date.now() + 1_000 }));
}"""
"""Bring the id token's end near."""
DRAFTS = "Object.keys(sessionStorage).filter((key) => key.startsWith('darkroom.drafts')).length"


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A service whose people sign in on the pool's page."""

    url: str
    hosted_ui: HostedUI
    browser: Browser

    @asynccontextmanager
    async def visit(self) -> AsyncIterator[Visit]:
        """Open the page in a fresh profile."""
        async with visit(self.browser, self.url) as seen:
            yield seen


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_house(cloud_environment: Mapping[str, str]) -> AsyncIterator[House]:
    """Run a service with a client of its own."""
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=CHROMIUM) as browser,
        aiohttp.ClientSession() as session,
        Wire() as wire,
    ):
        emulator, key_id = cloud_environment["AWS_ENDPOINT_URL"], cloud_environment["AWS_ACCESS_KEY_ID"]
        hosted_ui = HostedUI(emulator, key_id, session)
        async with TestServer(hosted_ui.app()) as server:
            environment = {
                **cloud_environment,
                "PUBLIC_URL": wire.url,
                "COGNITO_CLIENT_ID": await make_client(cloud_environment, f"{wire.url}/"),
                "COGNITO_DOMAIN": str(server.make_url("")).rstrip("/"),
                "METRICS_PORT": "off",
                "LOG_LEVEL": "WARNING",
                "STOP_TIMEOUT_SECONDS": "16",
            }
            async with running_service(environment) as service:
                wire.lead_to(service.url)
                yield House(url=wire.url, hosted_ui=hosted_ui, browser=browser)


@pytest.fixture
def house(module_house: House) -> House:
    """Give the service, with a sign-in page that has no faults and was not asked yet."""
    hosted_ui = module_house.hosted_ui
    hosted_ui.denies = hosted_ui.refuses = False
    hosted_ui.grants.clear()
    hosted_ui.revoked.clear()
    hosted_ui.logouts = 0
    return module_house


async def make_client(environment: Mapping[str, str], address: str) -> str:
    """Make a user and a client as deploy/data.yaml has it, for a page at that address; returns the client's id."""
    pool = environment["COGNITO_USER_POOL_ID"]
    keys = aioboto3.Session(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], region_name=environment["AWS_REGION"]
    )
    async with keys.client("cognito-idp", endpoint_url=environment["AWS_ENDPOINT_URL"]) as cognito:
        attributes = {"email": "sora@example.com", "email_verified": "true", "name": "박소라"}
        await cognito.admin_create_user(
            UserPoolId=pool,
            Username="sora",
            MessageAction="SUPPRESS",
            UserAttributes=[{"Name": name, "Value": value} for name, value in attributes.items()],
        )
        await cognito.admin_set_user_password(UserPoolId=pool, Username="sora", Password=PASSWORD, Permanent=True)
        made = await cognito.create_user_pool_client(
            UserPoolId=pool,
            ClientName="sign-in",
            IdTokenValidity=TOKEN_SECONDS,
            TokenValidityUnits={"IdToken": "seconds"},
            AllowedOAuthFlowsUserPoolClient=True,
            AllowedOAuthFlows=["code"],
            AllowedOAuthScopes=["openid", "email", "profile"],
            CallbackURLs=[address],
            LogoutURLs=[address],
            SupportedIdentityProviders=["COGNITO"],
        )
        return str(made["UserPoolClient"]["ClientId"])


async def fill_in(page: Page) -> None:
    """Sign in on the pool's page."""
    await page.fill("[name=username]", "sora")
    await page.fill("[name=password]", PASSWORD)
    await page.click("[type=submit]")


async def is_in(seen: Visit, page: Page | None = None) -> None:
    """Wait for the workplace."""
    await expect((page or seen.page).locator(seen.hook("connection"))).to_have_attribute("data-state", "live")


async def test_a_person_signs_in_stays_so_in_all_tabs_and_leaves_in_all(house: House) -> None:
    """The code is in no address of the page, tokens are renewed by one tab for all, and leaving ends it at Cognito too."""
    hosted_ui = house.hosted_ui
    async with house.visit() as seen:
        await seen.page.goto(f"{house.url}/#cracks")
        await seen.page.click(seen.hook("sign-in"))
        asked = parse_qs(urlsplit(seen.page.url).query)
        await fill_in(seen.page)
        await is_in(seen)
        addresses = [seen.page.url]
        name = await seen.find("account-open").inner_text()
        await seen.page.reload()
        await is_in(seen)
        other = await seen.page.context.new_page()
        await other.goto(house.url)
        await is_in(seen, other)
        await seen.page.evaluate(AGE)
        await asyncio.gather(seen.page.reload(), other.reload())
        await asyncio.gather(is_in(seen), is_in(seen, other))
        await seen.show("diary")
        await seen.page.fill(seen.hook("entry"), "Only mine")
        drafts = [await seen.page.evaluate(DRAFTS)]
        await other.click(seen.hook("sign-out"))
        await expect(seen.find("sign-in")).to_be_visible()
        await expect(other.locator(seen.hook("sign-in"))).to_be_visible()
        stored = await seen.page.evaluate(STORED)
        drafts.append(await seen.page.evaluate(DRAFTS))
        await other.go_back()
        addresses.append(other.url)

    assert (["S256"], ["code"], ["openid email profile"]) == (
        asked["code_challenge_method"],
        asked["response_type"],
        asked["scope"],
    )
    assert f"{house.url}/#cracks" == addresses[0]
    assert not re.search("code=|state=", " ".join(addresses))
    assert "박소라" == name
    assert {"authorization_code", "refresh_token"} == set(hosted_ui.grants)
    # One tab renews for all; on a busy machine a browser's processes hear of it late, and the old token holds for a minute.
    assert hosted_ui.grants.count("refresh_token") <= 2
    assert [1, 0] == drafts
    assert (None, 1, 1) == (stored, len(hosted_ui.revoked), hosted_ui.logouts)
    assert [] == seen.complaints


async def test_what_goes_wrong_on_the_way_in_is_said_in_words(house: House) -> None:
    """Denied, an answer nobody asked for, and a code that was used: each leaves the person at the door, with a clean address."""
    said = []
    async with house.visit() as seen:
        house.hosted_ui.denies = True
        await seen.page.click(seen.hook("sign-in"))
        said.append(await seen.find("error").inner_text())
        house.hosted_ui.denies = False
        await seen.page.goto(f"{house.url}/?code=stolen&state=of-somebody-else#diary")
        said.append(await seen.find("error").inner_text())
        left = seen.page.url
        codes: list[str] = []
        seen.page.on("request", lambda request: codes.extend(parse_qs(urlsplit(request.url).query).get("code", [])))
        await seen.page.click(seen.hook("sign-in"))
        await fill_in(seen.page)
        await is_in(seen)
        await seen.page.click(seen.hook("sign-out"))
        await seen.page.click(seen.hook("sign-in"))
        await seen.page.wait_for_selector("[name=password]")
        (state,) = parse_qs(urlsplit(seen.page.url).query)["state"]
        await seen.page.goto(f"{house.url}/?code={codes[0]}&state={state}")
        said.append(await seen.find("error").inner_text())
        addresses = [left, seen.page.url]
        await expect(seen.find("sign-in")).to_be_visible()

    assert ["You were not signed in", "This sign-in was not begun", "This sign-in is no longer"] == [
        " ".join(words.split()[:5]).rstrip(":") for words in said
    ]
    assert [f"{house.url}/#diary", f"{house.url}/"] == addresses
    assert 2 == house.hosted_ui.grants.count("authorization_code")


async def test_a_refused_token_is_renewed_and_what_cannot_be_renewed_ends_in_all_tabs(house: House) -> None:
    """The end is said, in a tab that is opened later too; signing in again goes on in all."""
    async with house.visit() as seen:
        await seen.page.click(seen.hook("sign-in"))
        await fill_in(seen.page)
        await is_in(seen)
        await seen.page.evaluate(BREAK)
        await seen.page.reload()
        await is_in(seen)
        grants = [*house.hosted_ui.grants]
        other = await seen.page.context.new_page()
        await other.goto(house.url)
        await is_in(seen, other)
        house.hosted_ui.refuses = True
        await seen.page.evaluate(BREAK)
        await seen.page.reload()
        for page in (seen.page, other):
            await expect(page.locator(seen.hook("error"))).to_contain_text("Your session has ended")
        later = await seen.page.context.new_page()
        await later.goto(house.url)
        await expect(later.locator(seen.hook("error"))).to_contain_text("Your session has ended")
        house.hosted_ui.refuses = False
        await later.click(seen.hook("sign-in"))
        await fill_in(later)
        for page in (later, seen.page, other):
            await is_in(seen, page)

    assert ["authorization_code", "refresh_token"] == grants
    assert [] == house.hosted_ui.revoked


async def look_at_the_note(seen: Visit) -> list[bool]:
    """Open it, close it by key, open it again and go on to the account; return whether it was open after each."""
    is_open = "note => note.open"
    note = seen.page.locator(".demo")
    await seen.page.click(seen.hook("demo-badge"))
    await seen.page.keyboard.press("Escape")
    opened = [await note.evaluate(is_open)]
    await seen.page.click(seen.hook("demo-badge"))
    opened.append(await note.evaluate(is_open))
    await seen.page.focus(seen.hook("account-open"))
    opened.append(await note.evaluate(is_open))
    return opened


async def erase_everything(seen: Visit) -> None:
    """Ask for it in the account dialog, at first without the word that it needs."""
    await seen.page.click(seen.hook("erase"))
    await seen.page.click(seen.hook("erase-confirm"))
    await expect(seen.find("account-error")).to_contain_text("Please type")
    await seen.page.fill(seen.hook("erase-word"), "Delete")
    await seen.page.keyboard.press("Enter")


async def test_a_demo_user_has_an_account_to_look_at_to_take_and_to_erase(tmp_path: Path, house: House) -> None:
    """What happens to a photo is told before signing in; a new tab asks nothing; erasing ends everywhere and says so."""
    async with (
        embedded_service(tmp_path) as service,
        visit(house.browser, service.url) as seen,
        visit(house.browser, service.url) as elsewhere,
    ):
        await seen.page.click(seen.hook("privacy-open"))
        await expect(seen.find("privacy")).to_contain_text("30 days")
        await seen.page.keyboard.press("Escape")
        await expect(seen.find("privacy")).to_have_count(0)
        await expect(seen.find("privacy-open")).to_be_focused()
        await seen.page.focus(seen.hook("demo-user"))
        await sign_in(seen, "alice")
        await expect(seen.page.locator("#composer-title")).to_be_focused()
        await expect(seen.page.locator("#announcements")).to_contain_text("You are signed in as alice.")
        await sign_in(elsewhere, "alice")
        other = await seen.page.context.new_page()
        await other.goto(service.url)
        await is_in(seen, other)
        is_noted = await look_at_the_note(seen)
        await seen.page.keyboard.press("Enter")
        await expect(seen.find("account-email")).to_have_text("alice@demo.invalid")
        await expect(seen.find("account-quota")).to_contain_text("10 of 10 left today")
        await expect(seen.page.locator("#account-title")).to_be_focused()
        async with seen.page.expect_download() as download:
            await seen.page.click(seen.hook("export"))
        archive = zipfile.ZipFile(await (await download.value).path())
        names, broken = archive.namelist(), archive.testzip()
        await expect(seen.find("export-status")).to_contain_text("downloads")
        await erase_everything(seen)
        for page in (seen.page, other, elsewhere.page):
            await expect(page.locator(seen.hook("erased"))).to_have_text("Everything of this account was deleted.")
            await expect(page.locator(seen.hook("demo-sign-in"))).to_be_visible()
        for count in (1, 0):  # Cognito's sign-in page leads away and back, so it is told on the next page, too
            await seen.page.reload()
            await expect(seen.find("demo-sign-in")).to_be_visible()
            await expect(seen.find("erased")).to_have_count(count)

    assert [False, True, False] == is_noted
    assert (True, None) == (bool(names), broken)
    assert [] == seen.complaints + elsewhere.complaints
