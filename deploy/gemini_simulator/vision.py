"""Simple detectors that really look at the pixels: dark vehicle-like regions, thin dark crack-like lines."""

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Something found: `box` is [ymin, xmin, ymax, xmax] in thousandths of the photo, as Gemini gives it."""

    label: str
    box: tuple[int, int, int, int]
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Marked pixels that touch: their bounds (right and bottom exclusive) and how many they are."""

    left: int
    top: int
    right: int
    bottom: int
    pixels: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def fill(self) -> float:
        return self.pixels / (self.width * self.height)


def find_vehicles(photo: Image.Image) -> tuple[Detection, ...]:
    """Find compact regions clearly darker than the rest, most confident first."""
    grey = _shrink(photo, 160).filter(ImageFilter.GaussianBlur(1.5))
    statistics = ImageStat.Stat(grey)
    limit = statistics.mean[0] - max(18.0, 0.7 * statistics.stddev[0])
    dark = grey.point([255 if level < limit else 0 for level in range(256)])
    area = dark.width * dark.height
    regions = [
        region
        for region in _regions(dark)
        if 0.012 <= region.width * region.height / area <= 0.8
        and region.fill >= 0.4
        and 0.35 <= region.width / region.height <= 5
    ]
    return _detections(dark, "car", ((region, 0.5 + region.fill * 0.48) for region in regions))


def find_cracks(photo: Image.Image) -> tuple[Detection, ...]:
    """Find thin lines darker than what surrounds them, most confident first."""
    grey = _shrink(photo, 320)
    darker = ImageChops.subtract(grey.filter(ImageFilter.GaussianBlur(6)), grey)
    marked = darker.point([255 if level > 22 else 0 for level in range(256)])
    shortest = 0.1 * max(marked.size)
    lines = []
    for region in _regions(marked):
        length = max(region.width, region.height)
        thickness = region.pixels / length
        if length >= shortest and thickness <= max(6.0, 0.12 * length):
            lines.append((region, min(0.97, 0.55 + 0.6 * length / max(marked.size))))
    return _detections(marked, "crack", lines)


def _shrink(photo: Image.Image, longest_side: int) -> Image.Image:
    grey = ImageOps.grayscale(photo)
    grey.thumbnail((longest_side, longest_side))
    return grey


def _detections(image: Image.Image, label: str, found: Iterable[tuple[Region, float]]) -> tuple[Detection, ...]:
    detections = (
        Detection(
            label=label,
            box=(
                region.top * 1000 // image.height,
                region.left * 1000 // image.width,
                region.bottom * 1000 // image.height,
                region.right * 1000 // image.width,
            ),
            confidence=round(confidence, 2),
        )
        for region, confidence in found
    )
    return tuple(sorted(detections, key=lambda detection: -detection.confidence))


def _regions(marked: Image.Image) -> list[Region]:
    """List the connected regions of a picture whose marked pixels are not zero."""
    width = marked.width
    left = {index for index, level in enumerate(marked.tobytes()) if level}
    regions = []
    while left:
        members = _grow(left, width)
        rows = [index // width for index in members]
        columns = [index % width for index in members]
        regions.append(
            Region(
                left=min(columns),
                top=min(rows),
                right=max(columns) + 1,
                bottom=max(rows) + 1,
                pixels=len(members),
            )
        )
    return regions


def _grow(left: set[int], width: int) -> list[int]:
    """Take one pixel and all it touches, corners included, out of those left."""
    members = [left.pop()]
    for index in members:
        column = index % width
        steps = range(-1 if column else 0, 2 if column < width - 1 else 1)
        for neighbour in (index + row + step for row in (-width, 0, width) for step in steps):
            if neighbour in left:
                left.remove(neighbour)
                members.append(neighbour)
    return members
