"""Detectors that really look at the pixels: dark vehicles with their plates, thin dark cracks."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Final

from PIL import Image, ImageOps

from deploy.gemini_simulator import cracks, plates
from deploy.gemini_simulator.plates import Plate
from deploy.gemini_simulator.regions import Region, find_regions, mark

Box = tuple[int, int, int, int]

SEARCH_SIDE: Final = 480
LEAST_SHARE: Final = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Something found: `box` is [ymin, xmin, ymax, xmax] in thousandths of the photo, as Gemini gives it."""

    label: str
    box: Box
    confidence: float
    plate: Plate | None = None

    @property
    def area(self) -> int:
        top, left, bottom, right = self.box
        return (bottom - top) * (right - left)


def find_cracks(photo: Image.Image) -> tuple[Detection, ...]:
    """Find thin jagged lines darker than what surrounds them, most confident first."""
    found = (
        Detection(label="crack", box=_thousandths(crack.box, crack.size), confidence=crack.confidence)
        for crack in cracks.find(photo)
    )
    return tuple(sorted(found, key=lambda detection: -detection.confidence))


def find_vehicles(photo: Image.Image, *, with_plates: bool = False) -> tuple[Detection, ...]:
    """Find compact regions clearly darker than the brightest parts, most confident first."""
    grey = ImageOps.grayscale(photo)
    small = grey.copy()
    small.thumbnail((SEARCH_SIDE, SEARCH_SIDE))
    dark_below = 0.45 * _brightest(small)
    regions = [region for region in find_regions(mark(small, below=dark_below)) if _is_vehicle(region, small.size)]
    # What lies within a vehicle is a part of it: a digit of its plate, seen from near, is dark and compact too.
    regions = [region for region in regions if not any(_holds(other, region) for other in regions)]
    describe = partial(_vehicle, grey, small.size, dark_below, with_plates=with_plates)
    return tuple(sorted(map(describe, regions), key=lambda detection: -detection.confidence))


def _vehicle(
    grey: Image.Image, searched: tuple[int, int], dark_below: float, region: Region, *, with_plates: bool
) -> Detection:
    edges = _edges(grey, searched, dark_below, region)
    plate = plates.read(grey.crop(edges)) if with_plates else None
    return Detection(
        label="truck" if _is_tall_box(region) else "car",
        box=_thousandths(edges, grey.size),
        confidence=_confidence(region, searched),
        plate=plate,
    )


def _brightest(grey: Image.Image) -> int:
    """Return the level that one pixel in forty reaches: what the light is like, however much of it is car."""
    left = grey.width * grey.height // 40
    for level, count in reversed(list(enumerate(grey.histogram()))):
        left -= count
        if left < 0:
            return level
    return 0


def _is_vehicle(region: Region, size: tuple[int, int]) -> bool:
    share = region.width * region.height / (size[0] * size[1])
    return share >= LEAST_SHARE and region.fill >= 0.4 and 0.35 <= region.width / region.height <= 5


def _holds(outer: Region, inner: Region) -> bool:
    return (
        outer is not inner
        and outer.left <= inner.left
        and outer.top <= inner.top
        and outer.right >= inner.right
        and outer.bottom >= inner.bottom
    )


def _is_tall_box(region: Region) -> bool:
    """Tell a truck: taller than wide, and as wide near its top as at its widest."""
    row = region.top + region.height // 8
    near_top = sum(run.end - run.start for run in region.runs if run.row == row)
    return region.height > 1.1 * region.width and near_top > 0.85 * region.width


def _confidence(region: Region, size: tuple[int, int]) -> float:
    """Be surer of what is large, compact and not cut off by the photo's edge."""
    share = region.width * region.height / (size[0] * size[1])
    cut = region.left == 0 or region.top == 0 or region.right == size[0] or region.bottom == size[1]
    size_bonus = 0.25 * math.sqrt(min(1.0, share / 0.06))
    return round(0.5 + size_bonus + 0.22 * region.fill - 0.12 * cut, 2)


def _edges(grey: Image.Image, searched: tuple[int, int], dark_below: float, region: Region) -> Box:
    """Look again at full size for where the dark begins and ends: left, top, right, bottom."""
    scale = grey.width / searched[0]
    left, top = max(0, round((region.left - 1.5) * scale)), max(0, round((region.top - 1.5) * scale))
    right = min(grey.width, round((region.right + 1.5) * scale))
    bottom = min(grey.height, round((region.bottom + 1.5) * scale))
    dark = mark(grey.crop((left, top, right, bottom)), below=dark_below).getbbox()
    return (left + dark[0], top + dark[1], left + dark[2], top + dark[3]) if dark else (left, top, right, bottom)


def _thousandths(edges: Box, size: tuple[int, int]) -> Box:
    left, top, right, bottom = edges
    return (
        round(top * 1000 / size[1]),
        round(left * 1000 / size[0]),
        round(bottom * 1000 / size[1]),
        round(right * 1000 / size[0]),
    )
