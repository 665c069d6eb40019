"""Cracks: found where they were drawn, as sure as they are plain, and not found where there are none."""

from typing import Any

import pytest
from google import genai
from PIL import ImageDraw
from pydantic import BaseModel

from tests.drawings import Box, Crack, Drawing, save_jpeg, wall
from tests.simulator.asking import ask, photo_part

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = Crack(x=200, y=200, width=500, height=600)


class Found(BaseModel):
    """One crack in a photo."""

    box_2d: list[int]
    confidence: float


class Cracks(BaseModel):
    """All cracks in a photo."""

    cracks: list[Found]


async def find(client: genai.Client, drawing: Drawing, quality: int = 90) -> list[Found]:
    """Ask for the cracks of a wall."""
    photo = photo_part(save_jpeg(drawing.image, quality=quality))
    return (await ask(client, Cracks, photo, "Find every crack in this wall.")).cracks


def expected_box(box: Box, size: tuple[int, int]) -> list[float]:
    """Return a box as Gemini gives it."""
    left, top, right, bottom = box.edges
    return [top * 1000 / size[1], left * 1000 / size[0], bottom * 1000 / size[1], right * 1000 / size[0]]


@pytest.mark.parametrize(
    "crack",
    [
        LONG,
        Crack(x=900, y=100, width=500, height=300, rising=True),
        Crack(x=700, y=150, width=90, height=900),
        Crack(x=300, y=600, width=1000, height=80, strength=0.5),
        Crack(x=300, y=300, width=700, height=500, thickness=4),
        Crack(x=300, y=300, width=900, height=700, thickness=20),
        Crack(x=0, y=500, width=600, height=300),
    ],
)
@pytest.mark.parametrize("grain", [0, 18])
async def test_crack_is_found_where_it_is(gemini: genai.Client, crack: Crack, grain: int) -> None:
    """One box within 2 % of the photo, on smooth and on rough walls."""
    drawing = wall([crack], grain=grain, socket=True)
    found = await find(gemini, drawing)

    assert len(found) == 1
    assert found[0].box_2d == pytest.approx(expected_box(drawing.boxes[0], drawing.image.size), abs=20)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"grain": 10},
        {"grain": 40, "size": (1000, 750)},
        {"socket": True},
        {"window": True},
        {"socket": True, "window": True, "grain": 20, "size": (1200, 1600)},
        {"socket": True, "window": True, "size": (2400, 1800)},
        {"socket": True, "window": True, "size": (640, 480), "colour": (150, 160, 175)},
    ],
)
async def test_whole_wall_has_no_crack(gemini: genai.Client, arguments: dict[str, Any]) -> None:
    """Plaster, sockets and window frames are none, however hard the JPEG is squeezed."""
    for quality in (92, 70):
        assert await find(gemini, wall(**arguments), quality) == []


async def test_straight_cables_and_picture_frames_are_no_cracks(gemini: genai.Client) -> None:
    """Thin dark lines that run level or upright belong to somebody."""
    drawing = wall(grain=8)
    draw = ImageDraw.Draw(drawing.image)
    draw.line((300, 0, 300, 1200), fill=(60, 60, 60), width=8)
    draw.rectangle((600, 300, 1100, 700), outline=(50, 40, 30), width=10)

    assert await find(gemini, drawing) == []


async def test_confidence_follows_length_and_darkness(gemini: genai.Client) -> None:
    """A threshold of 0.5 keeps the strong long crack and drops the faint short one."""
    faint_short = Crack(x=200, y=200, width=120, height=150, strength=0.15)
    sure = [(await find(gemini, wall([crack])))[0].confidence for crack in (LONG, faint_short)]
    middling = (await find(gemini, wall([Crack(x=200, y=200, width=300, height=300, strength=0.25)])))[0].confidence

    assert sure[0] > 0.85
    assert sure[1] < 0.5
    assert sure[0] > middling > sure[1]


async def test_two_cracks_are_two_and_the_surest_comes_first(gemini: genai.Client) -> None:
    """Each has its own box and confidence."""
    faint = Crack(x=1000, y=150, width=250, height=200, strength=0.25)
    drawing = wall([faint, LONG], size=(1600, 1200), grain=6)
    found = await find(gemini, drawing)

    assert [crack.box_2d for crack in found] == [
        pytest.approx(expected_box(box, drawing.image.size), abs=20) for box in reversed(drawing.boxes)
    ]
    assert found[0].confidence > found[1].confidence
