"""Walls with cracks, or with things that are none."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw

from tests.drawings.scene import Box, Drawing

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crack:
    """A jagged line that fills a box in pixels, from its upper left corner down (or its lower left one up).

    `thickness` is in pixels (by default 1/160 of the wall's longer side); `strength` runs from 0 (not there) to 1 (black).
    """

    x: int
    y: int
    width: int
    height: int
    thickness: int | None = None
    strength: float = 0.8
    rising: bool = False


def wall(
    cracks: Sequence[Crack] = (),
    *,
    size: tuple[int, int] = (1600, 1200),
    colour: Colour = (214, 206, 190),
    grain: int = 0,
    socket: bool = False,
    window: bool = False,
) -> Drawing:
    """Draw a wall; `grain` is how far its plaster strays from its colour (0 … 40 of 255).

    A socket goes to the lower right quarter, a window with a dark frame to the right edge's upper half.
    """
    image = Image.new("RGB", size, colour)
    if grain:
        image = _plaster(image, grain)
    if window:
        _draw_window(image)
    if socket:
        _draw_socket(image)
    for crack in cracks:
        _draw_crack(image, crack)
    boxes = tuple(Box(x=crack.x, y=crack.y, width=crack.width, height=crack.height) for crack in cracks)
    return Drawing(image=image, boxes=boxes)


def _plaster(image: Image.Image, grain: int) -> Image.Image:
    """Add fine noise and broad stains, each up to `grain` levels either way."""
    chance = random.Random(7)
    width, height = image.size
    coarse = _noise(chance, (max(2, width // 90), max(2, height // 90)), grain).resize(
        image.size, Image.Resampling.BICUBIC
    )
    fine = _noise(chance, image.size, grain)
    texture = ImageChops.add(coarse, fine, 1, -128)
    return ImageChops.add(image, Image.merge("RGB", [texture] * 3), 1, -128)


def _noise(chance: random.Random, size: tuple[int, int], grain: int) -> Image.Image:
    noise = Image.frombytes("L", size, chance.randbytes(size[0] * size[1]))
    return noise.point([128 + round((level / 255 - 0.5) * 2 * grain) for level in range(256)])


def _draw_crack(image: Image.Image, crack: Crack) -> None:
    thickness = crack.thickness or max(2, max(image.size) // 160)
    mask = Image.new("L", image.size)
    draw = ImageDraw.Draw(mask)
    points = _zigzag(crack, thickness)
    draw.line(points, fill=255, width=thickness, joint="curve")
    share = round(255 * crack.strength)
    image.paste((25, 22, 20), mask=mask.point([level * share // 255 for level in range(256)]))


def _zigzag(crack: Crack, thickness: int) -> list[tuple[float, float]]:
    """Walk from corner to corner of the box, straying from the diagonal but never out of the box."""
    chance = random.Random(crack.x * 31 + crack.y)
    reach = thickness / 2
    wide, high = crack.width - 2 * reach, crack.height - 2 * reach
    points = []
    steps = 14
    for step in range(steps + 1):
        share = step / steps
        stray = 0.0 if step in (0, steps) else chance.uniform(-0.06, 0.06)
        across, down = min(1, max(0, share + stray)), min(1, max(0, share - stray))
        if crack.rising:
            down = 1 - down
        points.append((crack.x + reach + across * wide, crack.y + reach + down * high))
    return points


def _draw_socket(image: Image.Image) -> None:
    unit = min(image.size) // 30
    x, y = image.width * 3 // 4, image.height * 3 // 4
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(
        (x - 2 * unit, y - 2 * unit, x + 2 * unit, y + 2 * unit), unit // 2, (238, 238, 232), (150, 150, 146), 2
    )
    draw.ellipse((x - unit, y - unit, x + unit, y + unit), (190, 190, 186))
    for side in (-1, 1):
        hole = x + side * unit // 2
        draw.ellipse((hole - unit // 6, y - unit // 6, hole + unit // 6, y + unit // 6), (40, 40, 40))


def _draw_window(image: Image.Image) -> None:
    unit = min(image.size) // 24
    left, top, bottom = image.width * 4 // 5, image.height // 12, image.height // 2
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, image.width, bottom), (70, 60, 52))
    draw.rectangle((left + unit, top + unit, image.width, bottom - unit), (170, 190, 205))
    draw.rectangle((left + unit, (top + bottom) // 2, image.width, (top + bottom) // 2 + unit // 2), (70, 60, 52))
