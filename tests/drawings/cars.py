"""Parked cars and trucks, seen from behind."""

from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from PIL import Image, ImageDraw

from deploy.gemini_simulator import plate_form
from tests.drawings.scene import Box

Colour = tuple[int, int, int]

# Height per width, and where the plate's middle is from the top, and its width, in shares of the vehicle's size.
SHAPES: Final = {"car": (0.78, 0.7, 0.44), "truck": (1.3, 0.83, 0.44)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """A vehicle whose upper left corner is at (x, y), in pixels.

    Its colour has to be a dark one (a luminance below 70), because that is how the simulator knows a vehicle; two need a
    hundredth of the photo's longer side between them.

    The plate is 2 or 3 digits, a syllable of `plate_form.HANGUL` and 4 digits; its digits are 1/17 of `width` tall,
    so that a car of 330 pixels has digits of 19.
    """

    x: int
    y: int
    width: int
    plate: str | None = None
    kind: Literal["car", "truck"] = "car"
    colour: Colour = (38, 42, 54)

    @property
    def box(self) -> Box:
        """What the vehicle fills, wheels included."""
        return Box(x=self.x, y=self.y, width=self.width, height=round(self.width * SHAPES[self.kind][0]))

    @property
    def plate_box(self) -> Box | None:
        """What the plate fills, if there is one."""
        if self.plate is None:
            return None
        _ratio, middle, share = SHAPES[self.kind]
        width = round(self.width * share)
        height = round(width * plate_form.PLATE_SIZE[1] / plate_form.PLATE_SIZE[0])
        top = self.y + round(self.box.height * middle) - height // 2
        return Box(x=self.x + (self.width - width) // 2, y=top, width=width, height=height)


def draw_car(image: Image.Image, car: Car) -> None:
    """Draw a vehicle with its plate."""
    (_draw_body if car.kind == "car" else _draw_box)(image, car)
    if car.plate and car.plate_box:
        image.paste(
            _plate(car.plate).resize((car.plate_box.width, car.plate_box.height), Image.Resampling.LANCZOS),
            car.plate_box.edges,
        )


def _draw_body(image: Image.Image, car: Car) -> None:
    draw, at = ImageDraw.Draw(image), partial(_at, car)
    _draw_wheels(draw, car, 0.74)
    draw.polygon([at(0.2, 0), at(0.8, 0), at(0.92, 0.42), at(0.08, 0.42)], fill=car.colour)
    draw.polygon([at(0.25, 0.06), at(0.75, 0.06), at(0.84, 0.36), at(0.16, 0.36)], fill=(56, 66, 78))
    draw.rounded_rectangle((*at(0, 0.38), *at(1, 0.9)), car.width * 0.06, car.colour)
    for left in (0.03, 0.83):
        draw.rectangle((*at(left, 0.46), *at(left + 0.14, 0.56)), fill=(120, 24, 20))


def _draw_box(image: Image.Image, car: Car) -> None:
    draw, at = ImageDraw.Draw(image), partial(_at, car)
    _draw_wheels(draw, car, 0.84)
    draw.rectangle((*at(0, 0), *at(1, 0.74)), fill=car.colour)
    draw.line([at(0.5, 0.03), at(0.5, 0.71)], fill=(20, 20, 24), width=max(1, car.width // 80))
    draw.rectangle((*at(0.04, 0.74), *at(0.96, 0.92)), fill=(32, 32, 36))


def _draw_wheels(draw: ImageDraw.ImageDraw, car: Car, top: float) -> None:
    for left in (0.06, 0.76):
        draw.rectangle((*_at(car, left, top), *_at(car, left + 0.18, 1)), fill=(18, 18, 20))


def _at(car: Car, across: float, down: float) -> tuple[int, int]:
    """Return a point of the vehicle by shares of its size."""
    return car.x + round(across * (car.width - 1)), car.y + round(down * (car.box.height - 1))


def _plate(text: str) -> Image.Image:
    plate = Image.new("RGB", plate_form.PLATE_SIZE, (236, 238, 236))
    layout = f"{'0' * (len(text) - 5)}가0000"
    for character, cell in zip(text, plate_form.cells(layout), strict=True):
        plate.paste((22, 24, 28), cell, plate_form.glyph(character))
    return plate
