"""Streets: places that can be told apart, with cars on them."""

import colorsys
import random
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from tests.drawings.cars import Car, draw_car
from tests.drawings.scene import Box, Drawing

Colour = tuple[int, int, int]

# So many places differ clearly: each has its own hue besides its own buildings.
PLACES: Final = 12


def street(place: int = 0, cars: Sequence[Car] = (), *, size: tuple[int, int] = (2000, 1500)) -> Drawing:
    """Draw a street with cars; `place` seeds its sky, buildings, windows, trees and road markings.

    The road begins at 0.6 of the height; nothing but cars is dark.
    """
    image = _scenery(place, size)
    for car in cars:
        draw_car(image, car)
    boxes = tuple(_within(car.box, size) for car in cars)
    return Drawing(image=image, boxes=boxes, plates=tuple(car.plate_box for car in cars))


def _scenery(place: int, size: tuple[int, int]) -> Image.Image:
    width, height = size
    chance = random.Random(place)
    hue = place % PLACES / PLACES
    image = Image.new("RGB", size, _paint(hue, chance.uniform(0.2, 0.3), 0.8))
    draw = ImageDraw.Draw(image)
    _draw_buildings(draw, chance, hue, size)
    road = round(height * 0.6)
    draw.rectangle((0, road, width, height), fill=_paint(hue, 0.3, 0.62))
    draw.rectangle((0, road, width, round(height * 0.63)), fill=_paint(hue + 0.01, 0.18, 0.76))
    _draw_trees(draw, chance, hue, size)
    _draw_markings(draw, chance, size)
    return image


def _draw_buildings(draw: ImageDraw.ImageDraw, chance: random.Random, hue: float, size: tuple[int, int]) -> None:
    left, right = 0.0, 0.0
    while right < 1:
        right = left + chance.uniform(0.12, 0.3)
        top = chance.uniform(0.05, 0.42)
        wall = _paint(hue + chance.uniform(-0.012, 0.012), chance.uniform(0.4, 0.65), chance.uniform(0.68, 0.8))
        box = (left * size[0], top * size[1], right * size[0], 0.6 * size[1])
        draw.rectangle(box, fill=wall)
        _draw_windows(draw, chance, box, _paint(hue + 0.01, 0.25, chance.choice((0.6, 0.84))))
        left = right + chance.uniform(0, 0.06)


def _draw_windows(
    draw: ImageDraw.ImageDraw, chance: random.Random, box: tuple[float, float, float, float], colour: Colour
) -> None:
    left, top, right, bottom = box
    columns, rows = chance.randint(2, 5), chance.randint(2, 6)
    wide, high = (right - left) / columns, (bottom - top) / rows
    for column in range(columns):
        for row in range(rows):
            x, y = left + column * wide, top + row * high
            draw.rectangle((x + wide * 0.25, y + high * 0.25, x + wide * 0.75, y + high * 0.75), fill=colour)


def _draw_trees(draw: ImageDraw.ImageDraw, chance: random.Random, hue: float, size: tuple[int, int]) -> None:
    width, height = size
    for _tree in range(chance.randint(1, 4)):
        x, crown = chance.uniform(0.05, 0.95) * width, chance.uniform(0.05, 0.09) * height
        foot, middle = 0.61 * height, chance.uniform(0.38, 0.46) * height
        draw.rectangle((x - crown * 0.12, middle, x + crown * 0.12, foot), fill=_paint(hue, 0.3, 0.56))
        draw.ellipse((x - crown, middle - crown, x + crown, middle + crown), fill=_paint(hue - 0.015, 0.6, 0.66))


def _draw_markings(draw: ImageDraw.ImageDraw, chance: random.Random, size: tuple[int, int]) -> None:
    width, height = size
    y, dash, gap = (
        chance.uniform(0.7, 0.9) * height,
        chance.uniform(0.05, 0.12) * width,
        chance.uniform(0.04, 0.1) * width,
    )
    x = chance.uniform(-dash, 0)
    while x < width:
        draw.rectangle((x, y, x + dash, y + height * 0.012), fill=(206, 206, 200))
        x += dash + gap


def _paint(hue: float, strength: float, lightness: float) -> Colour:
    """Mix a colour of exactly that hue and lightness, so that no hue looks dark and brighter light clips none."""
    pure = colorsys.hsv_to_rgb(hue % 1, 1, 1)
    own = 0.3 * pure[0] + 0.59 * pure[1] + 0.11 * pure[2]
    reach = min((0.86 - lightness) / (1 - own), lightness / own)
    red, green, blue = (lightness + strength * reach * (part - own) for part in pure)
    return round(255 * red), round(255 * green), round(255 * blue)


def _within(box: Box, size: tuple[int, int]) -> Box:
    """Cut a box to the picture: a car may stand half outside."""
    left, top = max(0, box.x), max(0, box.y)
    right, bottom = min(size[0], box.x + box.width), min(size[1], box.y + box.height)
    return Box(x=left, y=top, width=right - left, height=bottom - top)
