"""Connected regions of marked pixels, found run by run because that is what plain Python can do fast."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image

RUN: Final = re.compile(rb"\xff+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Marked pixels side by side in one row; the end is exclusive."""

    row: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Marked pixels that touch, corners included: their bounds (right and bottom exclusive) and their runs."""

    left: int
    top: int
    right: int
    bottom: int
    runs: tuple[Run, ...]

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def pixels(self) -> int:
        return sum(run.end - run.start for run in self.runs)

    @property
    def fill(self) -> float:
        return self.pixels / (self.width * self.height)


def mark(grey: Image.Image, *, above: float = -1, below: float = 256) -> Image.Image:
    """Return a picture that is 255 where the levels lie between the two limits, and 0 elsewhere."""
    return grey.point([255 if above < level < below else 0 for level in range(256)])


def find_regions(marked: Image.Image) -> list[Region]:
    """List the regions of a picture of zeros and 255s."""
    groups: dict[int, list[Run]] = {}
    names: dict[Run, int] = {}
    above: list[Run] = []
    for row in _rows(marked):
        for name, run in enumerate(row, start=len(names)):
            names[run] = name
            groups[name] = [run]
            for other in above:
                if other.start <= run.end and run.start <= other.end:
                    _join(groups, names, run, other)
        above = row
    return [_region(runs) for runs in groups.values()]


def _rows(marked: Image.Image) -> Iterator[list[Run]]:
    pixels, width = marked.tobytes(), marked.width
    for row in range(marked.height):
        line = pixels[row * width : (row + 1) * width]
        yield [Run(row=row, start=found.start(), end=found.end()) for found in RUN.finditer(line)]


def _join(groups: dict[int, list[Run]], names: dict[Run, int], one: Run, other: Run) -> None:
    """Put the smaller of two groups into the larger."""
    small, large = sorted((names[one], names[other]), key=lambda name: len(groups[name]))
    if small == large:
        return
    for run in groups[small]:
        names[run] = large
    groups[large] += groups.pop(small)


def _region(runs: list[Run]) -> Region:
    return Region(
        left=min(run.start for run in runs),
        top=min(run.row for run in runs),
        right=max(run.end for run in runs),
        bottom=max(run.row for run in runs) + 1,
        runs=tuple(runs),
    )
