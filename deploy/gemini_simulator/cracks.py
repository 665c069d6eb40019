"""Cracks: thin, dark, jagged lines; straight edges, frames and sockets are none."""

import math
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Final

from PIL import Image, ImageChops, ImageFilter, ImageOps

from deploy.gemini_simulator.regions import Region, find_regions, mark

SEARCH_SIDE: Final = 480
# A line counts as thin up to 2 * REACH pixels at that size: 1/60 of the photo.
REACH: Final = 4
LEAST_LENGTH: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Crack:
    """A crack's edges (left, top, right, bottom) on a picture of a given size, and how sure it is (0 … 1)."""

    box: tuple[int, int, int, int]
    size: tuple[int, int]
    confidence: float


def find(photo: Image.Image) -> list[Crack]:
    """Find the cracks of a photo; the longer and darker one is, the surer."""
    grey = ImageOps.grayscale(photo)
    grey.thumbnail((SEARCH_SIDE, SEARCH_SIDE))
    depth = _thin_darkness(grey.filter(ImageFilter.GaussianBlur(0.8)))
    return [
        Crack(
            box=(region.left, region.top, region.right, region.bottom),
            size=grey.size,
            confidence=_confidence(region, depth),
        )
        for region in find_regions(mark(depth, above=_limit(depth)))
        if _is_crack(region, grey.size)
    ]


def _thin_darkness(grey: Image.Image) -> Image.Image:
    """Return how much darker each pixel is than it would be with all thin dark things filled in."""
    closed = ImageOps.expand(grey, border=REACH, fill=0)
    for _step in range(REACH):
        closed = closed.filter(ImageFilter.MaxFilter(3))
    for _step in range(REACH):
        closed = closed.filter(ImageFilter.MinFilter(3))
    inner = closed.crop((REACH, REACH, REACH + grey.width, REACH + grey.height))
    return ImageChops.subtract(inner, grey)


def _limit(depth: Image.Image) -> float:
    """Let the plaster's own roughness say what stands out of it."""
    left = depth.width * depth.height // 2
    for level, count in enumerate(depth.histogram()):
        left -= count
        if left < 0:
            return 10 + 2.5 * level
    return 255


def _is_crack(region: Region, size: tuple[int, int]) -> bool:
    length = math.hypot(region.width, region.height)
    is_long = length >= LEAST_LENGTH * math.hypot(*size)
    is_thin = region.pixels / length <= max(6.0, 0.12 * length)
    return is_long and is_thin and not _is_straight(region) and not _is_outline(region)


def _is_straight(region: Region) -> bool:
    """Tell what is made of level and upright lines, as frames are."""
    rows, columns = _lines(region)
    straight = sum(count for count in rows.values() if count >= 0.6 * region.width and region.width > 12)
    straight += sum(count for count in columns.values() if count >= 0.6 * region.height and region.height > 12)
    return straight > 0.5 * region.pixels


def _is_outline(region: Region) -> bool:
    """Tell a closed shape: it is crossed twice along both its axes."""
    marked: dict[int, set[int]] = {}
    for run in region.runs:
        marked.setdefault(run.row, set()).update(range(run.start, run.end))
    crossings: Counter[int] = Counter()
    for row, columns in marked.items():
        crossings.update(columns - marked.get(row - 1, set()))
    in_rows = Counter(run.row for run in region.runs)
    return median(in_rows.values()) >= 2 and median(crossings.values()) >= 2


def _lines(region: Region) -> tuple[Counter[int], Counter[int]]:
    """Count the region's pixels in each row and in each column."""
    rows: Counter[int] = Counter()
    columns: Counter[int] = Counter()
    for run in region.runs:
        rows[run.row] += run.end - run.start
        columns.update(range(run.start, run.end))
    return rows, columns


def _confidence(region: Region, depth: Image.Image) -> float:
    levels, width = depth.tobytes(), depth.width
    dark = sum(sum(levels[run.row * width + run.start : run.row * width + run.end]) for run in region.runs)
    length = math.hypot(region.width, region.height) / math.hypot(*depth.size)
    sure = 0.12 + 0.42 * min(1.0, length / 0.25) + 0.42 * min(1.0, dark / region.pixels / 70)
    return round(sure, 2)
