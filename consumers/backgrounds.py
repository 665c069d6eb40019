"""How much two photos of a car look as if they were taken in the same place: what is behind the car is compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from consumers import drawing
from consumers.boxes import Box
from consumers.gemini_wire import Vector
from consumers.images import ImageWorker, Picture, inspect, prepare

NEAR_DUPLICATE_BITS: Final = 6
"""Of a difference hash's 64. The same scene once more differs by 0 to 4, another one by 24 and more (measured on drawn ones)."""
_HASH_BITS: Final = 64

Embed: TypeAlias = Callable[[Sequence[Picture]], Awaitable[list[Vector]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A photo of a car, and where the car is in it, if that is known."""

    content: bytes
    vehicle: Box | None = None


async def similarity(first: Scene, second: Scene, images: ImageWorker, embed: Embed) -> float:
    """Return 0 (nothing alike) to 1 (the same place).

    A hash finds near duplicates for nothing; all others are embedded, with the car covered so that it counts for nothing.
    Raises InvalidImage, and what ``embed`` raises.
    """
    distance = await images.run(lambda: _distance(first, second))
    if distance <= NEAR_DUPLICATE_BITS:
        return round(1 - distance / _HASH_BITS, 4)
    masked = [await images.run(lambda scene=scene: _masked(scene)) for scene in (first, second)]  # type: ignore[misc]
    one, other = await embed(masked)
    cosine = sum(a * b for a, b in zip(one, other, strict=True))
    return round(min(max(cosine, 0), 1), 4)


def _distance(first: Scene, second: Scene) -> int:
    hashes = [drawing.difference_hash(scene.content, scene.vehicle) for scene in (first, second)]
    return drawing.hash_distance(*hashes)


def _masked(scene: Scene) -> Picture:
    # What was never cut out may be a phone's photo, which says where its owner lives.
    return inspect(drawing.mask(scene.content, scene.vehicle)) if scene.vehicle else prepare(scene.content)
