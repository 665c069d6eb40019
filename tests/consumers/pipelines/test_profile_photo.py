"""Portraits: cut to the format that was asked for, on the background that was."""

from __future__ import annotations

from tests.conftest import CHECKOUT
from tests.consumers.pipelines.desk import Desk, facts


async def test_a_portrait_is_cut_and_its_background_asked_for(desk: Desk) -> None:
    """What is stored and told has the format's size; the simulator paints the background it is told."""
    photo = (CHECKOUT / "tests" / "data" / "astronaut.png").read_bytes()
    id_photo, square, plain = await desk.ended(
        await desk.submit("profile-photo", photo, style="color_id_photo", format="id-35x45", background="#2244aa"),
        await desk.submit("profile-photo", photo, style="professional", format="square"),
        await desk.submit("profile-photo", photo, style="formal_interview"),
    )
    picture = await desk.picture(id_photo)
    corner = picture.convert("RGB").getpixel((3, 3))
    square_picture, plain_picture = await desk.picture(square), await desk.picture(plain)

    assert (413, 531) == picture.size == (facts(id_photo)["width"], facts(id_photo)["height"])
    assert (300, 300) == tuple(round(dots) for dots in picture.info["dpi"])
    assert (0x22, 0x44, 0xAA) == corner
    assert square_picture.width == square_picture.height
    assert plain_picture.size == (facts(plain)["width"], facts(plain)["height"]) != (413, 531)
