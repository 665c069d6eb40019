"""Embeddings from real features of images and texts, so that what is alike really lies close together."""

import math
import random
import re
import zlib
from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Final

from PIL import Image, ImageOps, ImageStat

TERMS: Final = 24
TEXT_FEATURES: Final = 256
IMAGE_FEATURES: Final = 256 + 48


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
    """Take a 16 x 16 greyscale thumbnail and the histogram of its colours, each centred and of length 1."""
    greys = ImageOps.grayscale(photo).resize((16, 16)).tobytes()
    mean = ImageStat.Stat(ImageOps.grayscale(photo)).mean[0]
    colours = photo.resize((64, 64)).histogram()
    bins = [sum(colours[start : start + 16]) - 4096 / 16 for start in range(0, 768, 16)]
    return list(chain(_normalised([grey - mean for grey in greys]), _normalised(bins)))


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
