"""A drawn picture and the truth about it."""

from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A place on a picture in whole pixels, right and bottom exclusive."""

    x: int
    y: int
    width: int
    height: int

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, as Pillow wants them."""
        return self.x, self.y, self.x + self.width, self.y + self.height

    def grown(self, share: float, size: tuple[int, int]) -> "Box":
        """Return the box with a margin of a share of its own size on each side, cut to a picture's size."""
        wide, high = round(self.width * share), round(self.height * share)
        left, top = max(0, self.x - wide), max(0, self.y - high)
        right, bottom = min(size[0], self.x + self.width + wide), min(size[1], self.y + self.height + high)
        return Box(x=left, y=top, width=right - left, height=bottom - top)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """An RGB picture, the boxes of what was asked to be on it (in that order), and the plates' (None without one)."""

    image: Image.Image
    boxes: tuple[Box, ...] = ()
    plates: tuple[Box | None, ...] = ()
