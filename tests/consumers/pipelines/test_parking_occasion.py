"""Where and when a photo was taken: as it says itself, or whoever sends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.model import Charge
from tests.consumers.pipelines.desk import Desk, facts, failure
from tests.consumers.pipelines.parking import CAR, FIVE_PAST, NINE, PARKING, Place, photo_of

HERE: Place = ("37.5", "127.25")
THERE: dict[str, Any] = {"latitude": -1.25, "longitude": 36.75, "captureTime": FIVE_PAST}
SENT = {"latitude": "51.5", "longitude": "-0.125", "capture-time": "2026-11-20T10:00:00"}
SENT_TIME = "2026-11-20 10:00:00"
NOWHERE = {"latitude": "0", "longitude": "0.0"}
TWENTY = "2020-01-01 00:00:00"


async def test_every_hemisphere_is_where_it_is(desk: Desk) -> None:
    """South and west are negative."""
    places: list[Place] = [
        ("37.5665", "126.978"),
        ("-33.8688", "151.2093"),
        ("-22.9068", "-43.1729"),
        ("40.7", "-74.0"),
    ]
    jobs = await desk.ended(*[await desk.submit(PARKING, photo_of(at=place, taken_at=NINE)) for place in places])
    found = [(result["latitude"], result["longitude"]) for result in map(facts, jobs)]

    assert [(float(latitude), float(longitude)) for latitude, longitude in places] == found


CASES: dict[str, tuple[Place | None, str | None, Mapping[str, str], dict[str, Any], tuple[object, ...]]] = {
    "all of them": (HERE, NINE, SENT, THERE, (37.5, 127.25, NINE, "photo", "photo")),
    "the request first": (
        HERE,
        NINE,
        SENT,
        THERE | {"givenFirst": True},
        (-1.25, 36.75, FIVE_PAST, "client", "client"),
    ),
    "no EXIF": (None, None, SENT, THERE, (-1.25, 36.75, FIVE_PAST, "client", "client")),
    "the upload alone": (None, None, SENT, {}, (51.5, -0.125, SENT_TIME, "client", "client")),
    "the time in EXIF": (None, NINE, SENT, {}, (51.5, -0.125, NINE, "client", "photo")),
    "the place in EXIF": (HERE, None, {}, THERE, (37.5, 127.25, FIVE_PAST, "photo", "client")),
    "a request that says nothing": (HERE, NINE, {}, {"givenFirst": True}, (37.5, 127.25, NINE, "photo", "photo")),
    "the equator": (None, None, {}, THERE | {"latitude": 0}, (0, 36.75, FIVE_PAST, "client", "client")),
    "null island on the upload": (HERE, NINE, SENT | NOWHERE, {}, (37.5, 127.25, NINE, "photo", "photo")),
    "a clock that was never set": (HERE, "2019-12-31 23:59:59", SENT, {}, (37.5, 127.25, SENT_TIME, "photo", "client")),
    "a clock that was just set": (HERE, TWENTY, SENT, {}, (37.5, 127.25, TWENTY, "photo", "photo")),
}
"""What the EXIF, the upload's metadata and the request's parameters say, and what it comes to."""


async def test_the_photo_comes_first_then_the_request_then_the_upload(desk: Desk) -> None:
    """Place and time each from whoever knows it; and it is said who that was."""
    jobs = [
        await desk.submit(PARKING, photo_of(at=at, taken_at=taken_at), metadata=metadata, **parameters)
        for at, taken_at, metadata, parameters, _ in CASES.values()
    ]
    names = ("latitude", "longitude", "captureTime", "positionSource", "timeSource")
    results = [tuple(facts(job)[name] for name in names) for job in await desk.ended(*jobs)]

    assert {name: case[-1] for name, case in CASES.items()} == dict(zip(CASES, results, strict=True))


async def test_what_nobody_knows_is_named(desk: Desk) -> None:
    """The job fails, the models are not asked, and the unit is given back."""
    await desk.house.reset_simulator()
    jobs = await desk.ended(
        await desk.submit(PARKING, photo_of(CAR)),
        await desk.submit(PARKING, photo_of(CAR, at=HERE)),
        await desk.submit(PARKING, photo_of(CAR, taken_at=NINE)),
        await desk.submit(PARKING, photo_of(CAR, taken_at=NINE), latitude=37.5),
        await desk.submit(PARKING, photo_of(CAR, taken_at=NINE), metadata={"longitude": "127"}),
        await desk.submit(PARKING, photo_of(CAR, at=HERE, taken_at="1970-01-01 00:00:07")),
    )
    nowhere = "The photo does not say where it was taken. Send latitude and longitude with it."
    sentences = [
        "The photo says neither where nor when it was taken. Send latitude, longitude and captureTime with it.",
        "The photo does not say when it was taken. Send captureTime with it.",
        *[nowhere] * 3,
        "The photo does not say when it was taken. Send captureTime with it.",
    ]

    assert [("missing_metadata", sentence) for sentence in sentences] == [failure(job) for job in jobs]
    assert [Charge.RETURNED] * 6 == [job.charge for job in jobs]
    assert (0, 0) == await desk.house.usage(desk.user)
    assert 0 == (await desk.house.simulator_stats())["calls"]


async def test_what_the_sender_says_wrongly_is_named(desk: Desk) -> None:
    """By the field, and how it is to be written."""
    bad: list[Mapping[str, str]] = [
        SENT | {"latitude": "north"},
        SENT | {"longitude": "180.5"},
        SENT | {"capture-time": "2026-11-20T09:00:00Z"},
        SENT | {"capture-time": "2026-02-30 09:00:00"},
        SENT | NOWHERE,
        SENT | {"capture-time": "2019-12-31 23:59:59"},
        SENT | {"capture-time": "2999-12-31 23:59:59"},
    ]
    jobs = await desk.ended(*[await desk.submit(PARKING, photo_of(CAR), metadata=said) for said in bad])
    sentences = [failure(job)[1] for job in jobs]

    assert ["missing_metadata"] * 7 == [failure(job)[0] for job in jobs]
    assert sentences[0].startswith("latitude")
    assert sentences[1].startswith("longitude")
    assert "YYYY-MM-DD HH:MM:SS" in sentences[2]
    assert "2026-02-30 09:00:00" in sentences[3]
    assert "latitude and longitude are both 0" in sentences[4]
    assert "before 2020" in sentences[5]
    assert "in the future" in sentences[6]
