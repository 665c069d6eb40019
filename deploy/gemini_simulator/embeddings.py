"""Embeddings from real features of images and texts, so that what is alike really lies close together."""

import math
import random
import re
import zlib
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Final

from PIL import Image, ImageOps

TERMS: Final = 24
TEXT_FEATURES: Final = 256
GRID: Final = 16
CELL: Final = 4
HUES: Final = 24
HUE_WEIGHT: Final = 4.0
# What is less colourful than this is grey, or noise.
LEAST_COLOUR: Final = 5
IMAGE_FEATURES: Final = HUES + GRID * GRID


def embed(texts: Sequence[str], photos: Sequence[Image.Image], dimensions: int) -> list[float]:
    """Fuse everything in one content into one vector of length 1."""
    features = [
        *_total([_image_features(photo) for photo in photos], IMAGE_FEATURES),
        *_total([_text_features(text) for text in texts], TEXT_FEATURES),
    ]
    values = [sum(sign * features[index] for index, sign in row) for row in _projection()[:dimensions]]
    return [round(value, 7) for value in _normalised(values)]


@cache
def _projection() -> tuple[tuple[tuple[int, float], ...], ...]:
    """Choose a few signed features for each dimension: angles survive it, and fewer dimensions are a prefix."""
    chance = random.Random(2)  # noqa: S311 - the same in every process, on purpose
    count = IMAGE_FEATURES + TEXT_FEATURES
    return tuple(
        tuple((chance.randrange(count), chance.choice((-1.0, 1.0))) for _term in range(TERMS)) for _row in range(3072)
    )


def _image_features(photo: Image.Image) -> list[float]:
    """Take what a place keeps when the light, the cars and the camera's aim change: its colours, then its layout.

    Flat mid-grey is what callers lay over the things that do not matter, so it counts for nothing.
    """
    small = photo.resize((GRID * CELL, GRID * CELL), Image.Resampling.BOX)
    seen = _unmasked(small)
    hues, layout = _hues(small, seen), _layout(small, seen)
    return [*(HUE_WEIGHT * value for value in _normalised(hues)), *_normalised(layout)]


def _unmasked(small: Image.Image) -> bytes:
    """Mark with 1 the pixels that are not flat mid-grey."""
    bands = [band.point([124 <= level <= 132 for level in range(256)]).tobytes() for band in small.split()]
    return bytes(not (red and green and blue) for red, green, blue in zip(*bands, strict=True))


def _hues(small: Image.Image, seen: bytes) -> list[float]:
    """Count hues by how colourful they are, each in the two bins it lies between."""
    hue, saturation, value = (band.tobytes() for band in small.convert("HSV").split())
    bins = [0.0] * HUES
    for angle, purity, light, counts in zip(hue, saturation, value, seen, strict=True):
        colour = purity * light / 255 - LEAST_COLOUR
        if counts and colour > 0:
            place, share = divmod(angle * HUES / 256, 1)
            bins[int(place)] += colour * (1 - share)
            bins[(int(place) + 1) % HUES] += colour * share
    mean = sum(bins) / HUES
    return [count - mean for count in bins]


def _layout(small: Image.Image, seen: bytes) -> list[float]:
    """Shrink to 16 x 16 levels around their mean; a cell that is covered for the most part is level with it."""
    shape = (GRID, GRID)
    greys = ImageOps.grayscale(small).resize(shape, Image.Resampling.BOX).tobytes()
    shares = Image.frombytes("L", small.size, bytes(255 * mark for mark in seen)).resize(shape, Image.Resampling.BOX)
    known = [share > 200 for share in shares.tobytes()]
    mean = sum(grey for grey, counts in zip(greys, known, strict=True) if counts) / max(1, sum(known))
    return [grey - mean if counts else 0.0 for grey, counts in zip(greys, known, strict=True)]


def _text_features(text: str) -> list[float]:
    """Count hashed words and letter triples, without the task that stands before a query."""
    query = re.sub(r"^task:.*?query:", "", text.lower(), flags=re.DOTALL)
    words = re.findall(r"\w+", query)
    features = [0.0] * TEXT_FEATURES
    for piece in chain(words, (f"#{word}#"[at : at + 3] for word in words for at in range(len(word)))):
        number = zlib.crc32(piece.encode())
        features[number % TEXT_FEATURES] += 1 if number & 0x10000 else -1
    return _normalised(features)


def _total(rows: list[list[float]], width: int) -> list[float]:
    return [sum(column) for column in zip(*rows, strict=True)] if rows else [0.0] * width


def _normalised(values: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / length for value in values]
