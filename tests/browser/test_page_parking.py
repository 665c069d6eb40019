"""The page's view of parking reports."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from playwright.async_api import Browser, Route, expect

from tests.browser.visit import FOCUSED, PICTURES, overlap, shown_boxes, sign_in, visit
from tests.drawings import Car, save_jpeg, street
from tests.journey.running import Running, embedded_service

pytestmark = pytest.mark.timeout(180)

PLATE = "12가3456"
CAR = Car(x=800, y=760, width=480, plate=PLATE)


def exif(taken_at: str) -> Image.Exif:
    """Write where Seoul's city hall is, and a local time as cameras do (``2026:11:20 09:00:00``)."""
    facts = Image.Exif()
    facts.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken_at
    facts.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (37.0, 33.0, 59.4), 3: "E", 4: (126.0, 58.0, 40.8)})
    return facts


def photo(taken_at: str | None = None, *, place: int = 2, cars: tuple[Car, ...] = (CAR,)) -> bytes:
    """Draw a street, with what a camera knows of it unless a phone has removed that."""
    return save_jpeg(street(place, cars).image, exif=exif(taken_at) if taken_at else None)


async def test_a_photo_becomes_a_sighting_by_itself(browser: Browser, tmp_path: Path) -> None:
    """Nothing but the upload starts it: its card shows the plate, the car in its box, the place and the time."""
    async with embedded_service(tmp_path, "--gemini-latency=0.2") as service, visit(browser, service.url) as seen:
        await sign_in(seen, "alice")
        await seen.show("parking")
        await seen.send(photo("2026:11:20 09:00:00"))
        card = seen.jobs("completed")
        await expect(card.get_by_role("heading")).to_have_text(PLATE)
        await expect(seen.find("upload")).to_have_count(0)
        boxes = await shown_boxes(card)
        place = await seen.find("place", card).inner_text()
        facts = await seen.find("sighting", card).inner_text()
        described = await seen.find("boxes", card).get_attribute("aria-label")
        crop = seen.find("result-image", card)
        painted = await crop.evaluate("picture => picture.decode().then(() => picture.naturalWidth > 0)")

        assert 0 == await seen.find("preview").count()

    assert 1 == len(boxes)
    assert overlap(boxes[0], CAR.box) > 0.6
    assert described is not None
    assert described.startswith("Car, ")
    assert re.fullmatch(r"37\.5665\d° N, 126\.9780\d° E", place)
    assert 2 == facts.count("from the photo")
    assert "Nov 20, 2026, 9:00:00" in facts
    assert painted
    assert [] == [url for url in seen.requested if url.endswith(("/generate", "/process_metadata"))]
    assert [] == seen.complaints


async def test_a_photo_that_says_nothing_asks_for_place_and_time(browser: Browser, tmp_path: Path) -> None:
    """Its card says why it failed and leads to the fields; the browser tells the position when it is asked to."""
    seoul = {"latitude": 37.5665, "longitude": 126.978}
    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2") as service,
        visit(browser, service.url, geolocation=seoul, permissions=["geolocation"]) as seen,
    ):
        await sign_in(seen, "alice")
        await seen.show("parking")
        await seen.send(photo())
        await expect(seen.jobs("failed").locator(seen.hook("missing-hint"))).to_be_visible()
        await expect(seen.find("retry")).to_have_count(0)
        await seen.page.click(seen.hook("give"))
        focused = await seen.page.evaluate(FOCUSED)
        await seen.page.click(seen.hook("locate"))
        await expect(seen.find("latitude")).to_have_value("37.566500")
        await seen.page.fill(seen.hook("time"), "2026-11-20T09:00")
        await seen.send(photo())
        card = seen.jobs("completed")
        await expect(card.get_by_role("heading")).to_have_text(PLATE)
        facts = await seen.find("sighting", card).inner_text()
        left = await seen.page.input_value(seen.hook("latitude"))

    assert "latitude" == focused
    assert 2 == facts.count("as you gave it")
    assert "37.56650° N, 126.97800° E" in facts
    assert "" == left
    assert [] == seen.complaints


async def test_a_position_that_is_none_is_refused_at_its_field(browser: Browser, demo: Running, person: str) -> None:
    """Before anything is uploaded, in words, with the focus where it has to be mended."""
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("parking")
        await seen.choose(photo())
        await seen.find("given").locator("summary").click()
        found = []
        words = []
        for latitude, longitude, time in (
            ("91", "10", ""),
            ("10", "somewhere", ""),
            ("10", "", ""),
            ("10", "10", "2999-01-01T09:00"),
        ):
            await seen.page.fill(seen.hook("latitude"), latitude)
            await seen.page.fill(seen.hook("longitude"), longitude)
            await seen.page.fill(seen.hook("time"), time)
            await seen.page.click(seen.hook("submit"))
            found.append(await seen.page.evaluate(FOCUSED))
            words.append(await seen.find("error").inner_text())
            await expect(seen.page.locator("[aria-invalid='true']")).to_have_attribute("data-testid", found[-1])
        await seen.page.fill(seen.hook("time"), "2026-01-01T09:00")
        await expect(seen.find("error")).to_have_count(0)

    assert ["latitude", "longitude", "longitude", "time"] == found
    assert "from -180 to 180" in words[1]
    assert "longitude is missing" in words[2]
    assert "future" in words[3]
    assert [] == [url for url in seen.requested if url.endswith("/upload")]


async def test_what_the_service_refuses_is_said_in_korean_at_its_field(
    browser: Browser, demo: Running, person: str
) -> None:
    """Its sentences are English; the page has its own. A report of others is told of in words, and is no error."""
    refusal = {"error": "The capture time lies in the future.", "code": "invalid_request", "field": "captureTime"}
    async with visit(browser, demo.url, locale="ko-KR") as seen:
        await sign_in(seen, person)
        await seen.page.route("**/upload", lambda route: route.fulfill(status=400, json=refusal))
        await seen.show("parking")
        await seen.send(photo())
        await expect(seen.find("error")).to_have_text(re.compile(r"^\s*촬영 시각이 올바르지 않습니다"))
        await seen.page.wait_for_function(f"({FOCUSED}) === 'time'")
        await expect(seen.find("time")).to_have_attribute("aria-invalid", "true")
        await seen.page.goto(f"{demo.url}#parking/report_of_others")
        await expect(seen.find("others-report")).to_contain_text("다른 사람")

        assert 0 == await seen.find("reports-problem").count()


async def test_two_sightings_make_a_report_before_the_readers_eyes(browser: Browser, tmp_path: Path) -> None:
    """Without a reload: the report is announced and listed with both crops; the sighting leads to it."""
    async with embedded_service(tmp_path, "--gemini-latency=0.2") as service, visit(browser, service.url) as seen:
        await sign_in(seen, "alice")
        await seen.show("parking")
        await expect(seen.find("no-reports")).to_be_visible()
        await seen.send(photo("2026:11:20 09:00:00"))
        await expect(seen.jobs("completed")).to_have_count(1)
        await seen.send(photo("2026:11:20 09:07:00"))
        report = seen.find("report")
        await expect(report).to_have_count(1)
        await expect(seen.page.locator("#announcements")).to_contain_text(f"Report on {PLATE}: Confirmed.")
        await expect(seen.find("report-verdict", report)).to_have_text("Confirmed")
        similarity = await seen.find("similarity", report).inner_text()
        times = [await seen.find(f"{which}-time", report).inner_text() for which in ("first", "second")]
        painted = [
            await seen.find(f"{which}-crop", report).evaluate(
                "picture => { picture.loading = 'eager'; return picture.decode().then(() => picture.naturalWidth > 0); }"
            )
            for which in ("first", "second")
        ]
        await seen.page.screenshot(path=PICTURES / "parking.png", full_page=True)
        small = await seen.small_targets()
        await seen.find("report-link").first.click()
        await seen.page.wait_for_function(f"({FOCUSED}).startsWith('title-report_')")
        await seen.page.reload()
        await expect(report).to_have_count(1)

    assert ["Nov 20, 2026, 9:00:00", "Nov 20, 2026, 9:07:00"] == [re.sub(r"\s[AP]M$", "", time) for time in times]
    assert [True, True] == painted
    assert [] == small
    assert re.fullmatch(r"Backgrounds alike: \d+%", similarity)
    assert [] == seen.complaints


async def test_an_empty_street_and_a_hidden_plate_are_told_in_words(
    browser: Browser, demo: Running, person: str
) -> None:
    """Neither is a failure, and no plate is guessed."""
    bare = Car(x=800, y=760, width=480)
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.show("parking")
        await seen.send(photo("2026:11:20 09:00:00", cars=()))
        outcome = seen.jobs("completed").locator(seen.hook("outcome"))
        await expect(outcome).to_have_text("No car was found in this photo.")
        await seen.send(photo("2026:11:20 10:00:00", cars=(bare,)))
        await expect(outcome.first).to_contain_text("was not guessed")

    assert [] == seen.complaints


async def test_a_photo_whose_job_does_not_begin_says_so_and_can_be_sent_again(browser: Browser, tmp_path: Path) -> None:
    """Storage takes the photo, and nothing is heard of it: after a minute the card says so."""
    swallowed: list[str] = []

    async def swallow(route: Route) -> None:
        if route.request.method != "PUT" or swallowed:
            await route.continue_()
            return
        swallowed.append(route.request.url)
        await route.fulfill(status=200, headers={"Access-Control-Allow-Origin": "*"})

    async with (
        embedded_service(tmp_path, "--gemini-latency=0.2") as service,
        visit(browser, service.url) as seen,
    ):
        await sign_in(seen, "alice")
        await seen.show("parking")
        await seen.page.route(re.compile(r"/reports/"), swallow)
        await seen.page.clock.install()
        await seen.send(photo("2026:11:20 09:00:00"))
        await expect(seen.find("upload")).to_have_attribute("data-status", "waiting")
        await seen.page.clock.fast_forward("01:01")
        await expect(seen.find("upload-late")).to_contain_text("begins by itself")
        await seen.page.click(seen.hook("upload-again"))
        await expect(seen.jobs("completed").get_by_role("heading")).to_have_text(PLATE)
        await expect(seen.find("upload")).to_have_count(0)

    assert 1 == len(swallowed)
