"""What goes out to Gemini of a photo: what is seen on it, and nothing of what it knows."""

from __future__ import annotations

from dataclasses import replace

from jobs.ids import UserId
from jobs.model import JSON
from tests.consumers.house import House
from tests.consumers.pipelines.desk import Desk
from tests.consumers.pipelines.parking import CAR, FIVE_PAST, NINE, Place, photo_of, sighted
from tests.consumers.pipelines.wire import Wire


async def test_photos_go_to_gemini_without_what_they_know(
    wired: tuple[House, Wire], user: UserId, somewhere: Place
) -> None:
    """No place, no time, no device: neither in the photo, nor in its crop, nor in what is compared, raw uploads included."""
    house, wire = wired
    desk = Desk(house, user)
    moved = replace(CAR, x=300)
    photos = [
        photo_of(CAR, at=somewhere, taken_at=NINE, held=6),
        photo_of(moved, place=5, at=somewhere, taken_at=FIVE_PAST),
    ]
    for photo in photos:
        await sighted(desk, photo)
    raw: list[JSON] = [{"url": await desk.upload(photo)} for photo in photos]
    await desk.done("parking-comparison", first=raw[0], second=raw[1])
    await desk.done("crack-detection", photos[0])
    sent = wire.pictures

    assert 2 * 2 + 2 + 2 + 1 == len(sent)
    assert {"JPEG"} == {picture.format for picture in sent}
    assert [0] * 9 == [len(picture.getexif()) for picture in sent]
    assert all(picture.width > picture.height for picture in sent[-3:])  # upright, too
    assert not any(str(user) in str(body) or somewhere[0] in str(body) for body in wire.bodies)
