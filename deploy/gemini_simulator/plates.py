"""Reading a plate from the pixels: a light rectangle on a dark vehicle, and on it glyphs of one known font.

What cannot be told for sure is not read: a guess would be worse than nothing.
"""

from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageStat

from deploy.gemini_simulator.glyph_matching import Edges, first_likeness, guess
from deploy.gemini_simulator.plate_form import LAYOUTS, PLATE_SIZE, cells
from deploy.gemini_simulator.regions import Region, find_regions, mark

Place = tuple[int, int, int, int]

SEARCH_WIDTH: Final = 480
MOST_PLACES: Final = 3
# Digits of 18 pixels, shrunk and saved twice, still reach 0.92 and stay 0.05 ahead of the next glyph.
LEAST_LIKENESS: Final = 0.8
LEAST_MARGIN: Final = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """A plate's text, and how like the font its least certain character looks (0 … 1)."""

    text: str
    confidence: float


def read(vehicle: Image.Image) -> Plate | None:
    """Read the plate in a greyscale picture of one vehicle, cut to its edges; None where there is none or any doubt."""
    return next((plate for place in _find_places(vehicle) if (plate := _read_at(vehicle, place))), None)


def _read_at(vehicle: Image.Image, place: Place) -> Plate | None:
    guesses = [guess(vehicle, cell, kind) for cell, kind in _choose_layout(vehicle, place)]
    if any(one.likeness < LEAST_LIKENESS or one.margin < LEAST_MARGIN for one in guesses):
        return None
    text = "".join(one.character for one in guesses)
    return Plate(text=text, confidence=round(min(one.likeness for one in guesses), 2))


def _choose_layout(vehicle: Image.Image, place: Place) -> list[tuple[Edges, str]]:
    """Return the cells, each with what kind of character it holds, of the layout that fits better."""
    layouts = [
        [(_on_photo(cell, place), kind) for cell, kind in zip(cells(layout), layout, strict=True)] for layout in LAYOUTS
    ]
    return max(layouts, key=lambda row: sum(first_likeness(vehicle, *cell) for cell in row) / len(row))


def _on_photo(cell: Place, place: Place) -> Edges:
    """Return where a cell of the plate lies on the photo."""
    left, top, right, bottom = place
    across, down = (right - left) / PLATE_SIZE[0], (bottom - top) / PLATE_SIZE[1]
    return left + cell[0] * across, top + cell[1] * down, left + cell[2] * across, top + cell[3] * down


def _find_places(vehicle: Image.Image) -> list[Place]:
    """List light rectangles of a plate's form with dark all around: left, top, right, bottom; largest first."""
    small = vehicle.copy()
    small.thumbnail((SEARCH_WIDTH, SEARCH_WIDTH))
    darkest, brightest = ImageStat.Stat(small).extrema[0]
    light_above = (darkest + brightest) / 2
    regions = [region for region in find_regions(mark(small, above=light_above)) if _is_plate(region, small.size)]
    largest = sorted(regions, key=lambda region: -region.pixels)[:MOST_PLACES]
    return [_sharpen(vehicle, region, vehicle.width / small.width, light_above) for region in largest]


def _is_plate(region: Region, size: tuple[int, int]) -> bool:
    enclosed = region.left > 0 and region.top > 0 and region.right < size[0] and region.bottom < size[1]
    ratio = region.width / region.height
    return enclosed and region.width > 0.15 * size[0] and 3.8 <= ratio <= 7 and region.fill >= 0.4


def _sharpen(vehicle: Image.Image, region: Region, scale: float, light_above: float) -> Place:
    """Find the rectangle's edges again at full size."""
    left, top = int((region.left - 1) * scale), int((region.top - 1) * scale)
    crop = vehicle.crop((left, top, round((region.right + 1) * scale), round((region.bottom + 1) * scale)))
    light = mark(crop, above=light_above).getbbox() or (0, 0, *crop.size)
    return left + light[0], top + light[1], left + light[2], top + light[3]
