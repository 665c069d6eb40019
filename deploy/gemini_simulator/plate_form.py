"""What a plate the simulator can read looks like: its glyphs, and where each stands on it."""

from functools import cache
from pathlib import Path
from typing import Final

from PIL import Image

DIGITS: Final = "0123456789"
HANGUL: Final = "가나다라마거너더러머고노도로모구누두루무버서어저보소오조부수우주허하호"
# All lengths below are pixels of the atlas; a plate is drawn and read at any scale.
PLATE_SIZE: Final = (545, 104)
DIGIT_WIDTH: Final = 58
HANGUL_WIDTH: Final = 90
CELL_HEIGHT: Final = 92
ROW_TOP: Final = 8
LAYOUTS: Final = ("00가0000", "000가0000")

# 45 glyphs of NanumGothic Bold, nine in a row; see glyphs-LICENSE.txt.
ATLAS: Final = Path(__file__).with_name("glyphs.png")
COLUMNS: Final = 9

Cell = tuple[int, int, int, int]


@cache
def glyph(character: str) -> Image.Image:
    """Return a digit or syllable, white on black, filling its cell; raises ValueError for any other character."""
    index = (DIGITS + HANGUL).index(character)
    left, top = index % COLUMNS * HANGUL_WIDTH, index // COLUMNS * CELL_HEIGHT
    return _atlas().crop((left, top, left + _width(character), top + CELL_HEIGHT))


@cache
def cells(layout: str) -> tuple[Cell, ...]:
    """Return where each character of a row stands on the plate: left, top, right, bottom."""
    widths = [_width(character) for character in layout]
    left = (PLATE_SIZE[0] - sum(widths)) // 2
    starts = [left + sum(widths[:index]) for index in range(len(widths))]
    return tuple(
        (start, ROW_TOP, start + width, ROW_TOP + CELL_HEIGHT) for start, width in zip(starts, widths, strict=True)
    )


@cache
def _atlas() -> Image.Image:
    with Image.open(ATLAS) as image:
        return image.convert("L")


def _width(character: str) -> int:
    return DIGIT_WIDTH if character in DIGITS else HANGUL_WIDTH
