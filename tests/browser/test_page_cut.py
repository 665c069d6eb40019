"""The page while its network is cut: what it says, what it keeps, and what it tells once the network is back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import CDPSession, expect

from tests.browser.readers import READERS, House, Witness, open_house, reading
from tests.browser.visit import Visit, sign_in
from tests.person import PATIENCE_SECONDS, Person

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

DESK, PHONE = READERS[0], READERS[2]
ENDLESS = "[[sim:slow=60]]"
SHORT = "[[sim:slow=4]]"
WISHES = {
    "academic_professional": f"elsewhere {ENDLESS}",
    "outdoor_professional": ENDLESS,
    "professional": f"[[sim:safety]] {SHORT}",
    "business_casual": SHORT,
}
"""By style, in the order of their sending: the short ones last, so that none ends before the network is cut."""
ALARM = """async () => {
  const { Announcer } = await import('/page/announcer.js');
  const region = document.getElementById('alarms');
  const announcer = new Announcer(document.getElementById('announcements'), region);
  announcer.alert('One has failed.');
  announcer.alert('Another has failed.');
  return region.textContent;
}"""
MOMENTS = """async () => {
  const { loadI18n } = await import('/page/i18n.js');
  const words = await loadI18n();
  return [[0, 0], [9, 30]].flatMap((time) => ['en', 'ko'].map((language) => {
    words.language = language;
    return words.soon(new Date(2026, 10, 22, ...time).toISOString());
  }));
}"""
NETWORKS = {
    "good": {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
    "slow": {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 100_000},
    "none": {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Run one service and one browser for all tests."""
    async with open_house(tmp_path_factory.mktemp("cut"), "--gemini-latency=0.2") as opened:
        yield opened


class Network:
    """The network of one page, to be slowed down and cut."""

    def __init__(self, seen: Visit, devtools: CDPSession) -> None:
        self._seen = seen
        self._devtools = devtools

    @classmethod
    async def of(cls, seen: Visit) -> Network:
        """Take hold of it."""
        return cls(seen, await seen.page.context.new_cdp_session(seen.page))

    async def become(self, kind: str) -> None:
        """Be good, slow or none from now on."""
        await self._devtools.send("Network.emulateNetworkConditions", NETWORKS[kind])

    async def cut(self) -> None:
        """Let nothing through until ``mend``, and see the page say so."""
        await self.become("none")
        await expect(self._seen.find("connection")).to_have_attribute("data-state", "offline")

    async def mend(self) -> None:
        """Let all through, and see the page say so."""
        await self.become("good")
        await expect(self._seen.find("connection")).to_have_attribute("data-state", "live")


async def begin(seen: Visit, wish: str, count: int) -> None:
    """Send a wish, and see it become the job at work that makes so many."""
    await seen.submit(wish)
    await expect(seen.jobs("processing").locator(seen.hook("progress"))).to_have_count(count)


async def remaining(seen: Visit, person: Person) -> tuple[int, int]:
    """Return what is left of the day, as the page shows it and as the service has it."""
    left = (await person.get("/user/me"))["remainingQuota"]
    await expect(seen.find("quota")).to_have_attribute("data-remaining", str(left))
    return int(await seen.find("quota").get_attribute("data-remaining") or -1), left


async def test_a_korean_phone_loses_the_network_on_the_way_in_and_in_an_upload(house: House) -> None:
    """Neither is lost: both say so in Korean, both work when the network is back, and one picture is counted."""
    witness = Witness(PHONE)
    async with reading(house, PHONE) as seen, aiohttp.ClientSession() as session:
        await witness.watch(seen)
        network = await Network.of(seen)
        await network.become("none")
        await seen.page.click(seen.hook("demo-sign-in"))
        await expect(seen.find("error")).to_have_text(PHONE.words["error.network"])
        await network.become("good")
        await sign_in(seen, "phone")
        await network.become("slow")
        await seen.submit("")
        upload = seen.find("upload")
        await expect(upload).to_contain_text(re.compile(r"[1-9]\d?%"))
        await network.cut()
        await expect(upload).to_have_attribute("data-status", "unsent")
        await expect(seen.find("gallery-hint")).to_have_text(PHONE.words["gallery.keepTab"])
        await network.mend()
        await seen.find("upload-again").click()
        await expect(seen.jobs("completed")).to_have_count(1)
        await expect(upload).to_have_count(0)
        person = await Person.sign_in(session, house[0].url, "phone")
        jobs = (await person.get("/jobs"))["jobs"]

        assert (9, 9) == await remaining(seen, person)

    shown = (
        "connection.offline",
        "connection.offline.meaning",
        "upload.unsent",
        "upload.again.now",
        "status.completed",
    )
    assert ["completed"] == [job["status"] for job in jobs]
    assert [] == [key for key in shown if not witness.saw(key)]
    assert [] == witness.faults()


async def test_what_came_to_pass_while_it_was_cut_is_told_on_its_return(house: House) -> None:
    """One ends well, one is refused, one is canceled elsewhere, one goes on, one is not sent: each card says so, once."""
    witness = Witness(DESK)
    async with reading(house, DESK) as seen, aiohttp.ClientSession() as session:
        await witness.watch(seen)
        await sign_in(seen, "traveler")
        person, network = await Person.sign_in(session, house[0].url, "traveler"), await Network.of(seen)
        for count, (style, wish) in enumerate(WISHES.items(), start=1):
            await seen.page.check(seen.hook(f"style-{style}"), force=True)
            await begin(seen, wish, count)
        elsewhere = await seen.jobs().filter(has_text="elsewhere").get_attribute("data-job-id")
        async with person.socket() as opened:
            await network.cut()
            await person.post(f"/jobs/{elsewhere}/cancel", {})
            await until_all(opened, {"job.completed", "job.failed", "job.canceled"})
        await seen.page.check(seen.hook("style-formal_interview"), force=True)
        await seen.submit("unsent")
        await expect(seen.find("upload")).to_have_attribute("data-status", "unsent")
        stale = await seen.jobs("processing").count()
        await network.mend()
        for status in ("completed", "failed", "canceled", "processing"):
            await expect(seen.jobs(status)).to_have_count(1)
        await seen.find("upload-again").click()
        await expect(seen.jobs("completed")).to_have_count(2)
        await expect(seen.page.locator("#announcements")).to_contain_text("Formal interview: Done.")
        ids = await seen.jobs().evaluate_all("cards => cards.map((card) => card.dataset.jobId)")
        jobs = (await person.get("/jobs"))["jobs"]
        left = await remaining(seen, person)
        await seen.find("cancel").click()
        await expect(seen.jobs("canceled")).to_have_count(2)

    said = " ".join(witness.spoken())
    told = ("Business casual: Done.", "Professional: Failed. The AI declines", "Academic or researcher: Canceled.")
    assert {1} == {said.count(words) for words in told}
    assert 4 == stale
    assert sorted(job["jobId"] for job in jobs) == sorted(ids)
    assert (left[0], 5) == (left[1], len(ids))
    assert [] == witness.faults()


async def test_what_is_asked_for_while_it_is_cut_is_refused_in_words_and_works_after(house: House) -> None:
    """To cancel all, and to delete, which can be taken back all the same: nothing seems done that is not."""
    async with reading(house, DESK) as seen, aiohttp.ClientSession() as session:
        await sign_in(seen, "hasty")
        person, network = await Person.sign_in(session, house[0].url, "hasty"), await Network.of(seen)
        await seen.submit("")
        await expect(seen.jobs("completed")).to_have_count(1)
        for count in (1, 2):
            await begin(seen, f"{count} {ENDLESS}", count)
        await network.cut()
        await cancel_all(seen, "2 could not be canceled.")
        await delete(seen, "toast-action")
        await expect(seen.jobs("completed")).to_have_count(1)
        await delete(seen, "toast-dismiss")
        await expect(seen.find("toast").last).to_contain_text("could not be deleted")
        await expect(seen.jobs("completed")).to_have_count(1)
        untouched = sorted(job["status"] for job in (await person.get("/jobs"))["jobs"])
        await network.mend()
        await cancel_all(seen, "2 jobs were canceled.")
        await expect(seen.jobs("canceled")).to_have_count(2)
        async with seen.page.expect_response(lambda answer: answer.request.method == "DELETE"):
            await delete(seen, "toast-dismiss")
        left = (await person.get("/jobs"))["jobs"]

    assert ["completed", "processing", "processing"] == untouched
    assert ["canceled", "canceled"] == [job["status"] for job in left]


async def test_a_blocked_person_is_told_so_and_goes_on_without_a_reload_when_let_in_again(house: House) -> None:
    """At once and on the next visit, in the language that is chosen then; nothing is offered that would be refused."""
    korean = PHONE.words
    async with reading(house, DESK) as seen, aiohttp.ClientSession() as session:
        operator = await Person.sign_in(session, house[0].url, "operator")
        await sign_in(seen, "barred")
        await seen.page.click(seen.hook("account-open"))
        path = f"/ops/users/{await seen.find('account-id').inner_text()}"
        await seen.page.keyboard.press("Escape")
        await (await Person.sign_in(session, house[0].url, "barred")).get("/user/me")
        await operator.post(path, {"blocked": True})
        await seen.submit()
        await expect(seen.find("error")).to_contain_text("An operator has blocked this account.")
        await expect(seen.find("connection")).to_have_attribute("data-state", "refused")
        await seen.page.click(seen.hook("language"))
        await expect(seen.find("error")).to_contain_text(korean["error.user_blocked"])
        await seen.page.reload()
        await expect(seen.find("refusal")).to_contain_text(korean["refusal.user_blocked"])
        await expect(seen.find("loading")).to_have_count(0)
        await seen.page.click(seen.hook("account-open"))
        await expect(seen.find("account-refusal")).to_have_text(korean["refusal.user_blocked"])
        offered = await seen.find("export").count() + await seen.find("erase").count()
        await seen.page.keyboard.press("Escape")
        await operator.post(path, {"blocked": False})
        await seen.page.click(seen.hook("refusal-retry"))
        await expect(seen.find("connection")).to_have_attribute("data-state", "live")
        await expect(seen.find("refusal")).to_be_empty()
        await expect(seen.find("empty")).to_be_visible()
        await expect(seen.page.locator("#composer-title")).to_be_focused()

    assert 0 == offered


async def test_what_goes_wrong_in_the_same_instant_is_all_said(house: House) -> None:
    """By the region for alarms; and a moment of the reader's own day is written as one says it."""
    async with reading(house, DESK) as seen:
        alarm = await seen.page.evaluate(ALARM)
        moments = await seen.page.evaluate(MOMENTS)

    assert "One has failed. Another has failed." == alarm
    assert ["Sunday at midnight", "일요일 0시", "Sunday at 9:30 AM", "일요일 오전 9:30"] == [
        words.replace("\u202f", " ") for words in moments
    ]


async def until_all(socket: aiohttp.ClientWebSocketResponse, types: set[str]) -> None:
    """Read messages until one of each of these types."""
    missing = set(types)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while missing:
            missing.discard((await socket.receive_json())["type"])


async def cancel_all(seen: Visit, outcome: str) -> None:
    """Ask for it, and read what it came to."""
    await seen.find("cancel-all").click()
    await seen.find("cancel-all-confirm").click()
    await expect(seen.find("toast").last).to_contain_text(outcome)


async def delete(seen: Visit, then: str) -> None:
    """Delete the finished picture, then press that on the note that tells of it."""
    await seen.jobs("completed").locator(seen.hook("delete")).click()
    await expect(seen.jobs("completed")).to_have_count(0)
    await seen.find("toast").filter(has=seen.find("toast-action")).locator(seen.hook(then)).click()
