"""Which glyph a piece of a plate looks like, by normalised correlation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import mul
from typing import Final

from PIL import Image

from deploy.gemini_simulator.plate_form import DIGITS, HANGUL, glyph

Edges = tuple[float, float, float, float]

# Glyphs are compared at a third of the atlas: a syllable is 30 x 30 pixels, and one pixel is a shift to try.
SHRINK: Final = 3
# So many glyphs that look alike without a shift are tried with all of them.
LIKELY: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """The likeliest character of a cell, its likeness (up to 1), and how far the second stays behind."""

    character: str
    likeness: float
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A cell's levels, and how far they stray from their mean in all."""

    levels: bytes
    contrast: float


def guess(photo: Image.Image, cell: Edges, kind: str) -> Guess:
    """Compare a cell with every glyph that may stand there; `kind` is 0 for a digit, 가 for a syllable.

    The photo is a greyscale one, dark on light; the cell's edges are left, top, right, bottom.
    """
    views = _views(photo, cell, _size(kind))
    middle = views[len(views) // 2 :][:1]
    likely = "".join(character for _likeness, character in _rank(middle, _glyphs(kind))[:LIKELY])
    (best, character), (second, _other), *_rest = _rank(views, likely)
    return Guess(character=character, likeness=best, margin=best - second)


def first_likeness(photo: Image.Image, cell: Edges, kind: str) -> float:
    """Return the best glyph's likeness without trying shifts: enough to tell a digit from a syllable."""
    return _rank([_view(_cut(photo, cell, _size(kind), border=0))], _glyphs(kind))[0][0]


def _rank(views: Sequence[_View], characters: str) -> list[tuple[float, str]]:
    """Order glyphs by their likeness to the view that suits each best."""
    likeness = ((max(_correlate(view, _template(character)) for view in views), character) for character in characters)
    return sorted(likeness, reverse=True)


def _correlate(view: _View, template: tuple[float, ...]) -> float:
    """Return the correlation; the template's mean is 0, so the view's does not count."""
    product: float = sum(map(mul, view.levels, template))
    return -product / view.contrast


def _views(photo: Image.Image, cell: Edges, size: tuple[int, int]) -> list[_View]:
    """Look at a cell as it is and moved by a pixel each way."""
    picture = _cut(photo, cell, size, border=1)
    return [_view(picture.crop((x, y, x + size[0], y + size[1]))) for y in range(3) for x in range(3)]


def _cut(photo: Image.Image, cell: Edges, size: tuple[int, int], *, border: int) -> Image.Image:
    """Bring a cell to a size, with a border of so many pixels around it."""
    left, top, right, bottom = cell
    wide, high = border * (right - left) / size[0], border * (bottom - top) / size[1]
    box = (
        max(0.0, left - wide),
        max(0.0, top - high),
        min(float(photo.width), right + wide),
        min(float(photo.height), bottom + high),
    )
    return photo.resize((size[0] + 2 * border, size[1] + 2 * border), Image.Resampling.BILINEAR, box=box)


def _view(picture: Image.Image) -> _View:
    levels = picture.tobytes()
    spread = sum(map(mul, levels, levels)) - sum(levels) ** 2 / len(levels)
    return _View(levels=levels, contrast=max(1.0, spread) ** 0.5)


@cache
def _template(character: str) -> tuple[float, ...]:
    """Return a glyph's levels, centred and of length 1."""
    levels = glyph(character).resize(_size(character), Image.Resampling.BILINEAR).tobytes()
    mean = sum(levels) / len(levels)
    length = sum((level - mean) ** 2 for level in levels) ** 0.5
    return tuple((level - mean) / length for level in levels)


def _size(character: str) -> tuple[int, int]:
    width, height = glyph(character).size
    return width // SHRINK, height // SHRINK


def _glyphs(kind: str) -> str:
    return DIGITS if kind in DIGITS else HANGUL
