"""Formats: each cut has its shape and keeps the head, whatever the model has made."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from consumers import framing, styles
from consumers.framing import PhotoFormat
from jobs.errors import InvalidImage


def encoded(size: tuple[int, int], image_format: str = "PNG", *, top: str = "red") -> bytes:
    """Draw a picture whose upper sixth has another colour."""
    image = Image.new("RGB", size, "blue")
    image.paste(top, (0, 0, size[0], size[1] // 6))
    buffer = io.BytesIO()
    image.save(buffer, image_format)
    return buffer.getvalue()


def cut(content: bytes, photo_format: PhotoFormat) -> Image.Image:
    """Cut and decode."""
    image = Image.open(io.BytesIO(framing.cut(content, photo_format)))
    image.load()
    return image


@pytest.mark.parametrize("size", [(1024, 1024), (1344, 768), (768, 1344), (40, 900), (900, 40)])
@pytest.mark.parametrize(("photo_format", "ratio"), [(PhotoFormat.SQUARE, 1), (PhotoFormat.FOUR_TO_FIVE, 0.8)])
def test_a_cut_has_its_shape_and_is_as_large_as_can_be(
    size: tuple[int, int], photo_format: PhotoFormat, ratio: float
) -> None:
    """One side is whole, within the pixel that rounding takes."""
    image = cut(encoded(size), photo_format)

    assert abs(image.width - image.height * ratio) <= 1
    assert image.width == size[0] or image.height == size[1]


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
def test_an_id_photo_can_be_printed(image_format: str) -> None:
    """35 × 45 mm at 300 dots an inch, which its file says too; what is no JPEG becomes a PNG."""
    image = cut(encoded((1024, 1024), image_format), PhotoFormat.ID)

    assert (413, 531) == image.size
    assert (300, 300) == tuple(round(dots) for dots in image.info["dpi"])
    assert ("JPEG" if image_format == "JPEG" else "PNG") == image.format


def test_the_head_stays_when_a_tall_picture_is_cut() -> None:
    """What is cut away is mostly below."""
    image = cut(encoded((600, 1200)), PhotoFormat.SQUARE)
    red = [image.getpixel((300, y)) == (255, 0, 0) for y in range(image.height)]

    assert 80 == sum(red)  # of 200; 120 is a fifth of the 600 that had to go


def test_the_original_is_not_touched() -> None:
    """Not even decoded."""
    assert b"anything" == framing.cut(b"anything", PhotoFormat.ORIGINAL)


def test_what_is_no_picture_cannot_be_cut() -> None:
    """Whatever the model calls it."""
    with pytest.raises(InvalidImage):
        framing.cut(b"no picture", PhotoFormat.ID)


@pytest.mark.parametrize(
    ("said", "colour"),
    [("white", "#ffffff"), ("#8899AA", "#8899aa"), ("light-blue", "#cfe2f3"), ("plaid", None), ("#fff", None)],
)
def test_a_background_is_a_name_or_a_colour(said: str, colour: str | None) -> None:
    """In small letters, as the prompt has it."""
    assert colour == styles.colour_of(said)


def test_the_prompt_says_frame_and_background_after_the_wishes() -> None:
    """So that they count more; without either the words are what they were."""
    plain = styles.compose("color_id_photo", "no glasses")
    words = styles.compose("color_id_photo", "no glasses", background="grey", framing=framing.words_for(PhotoFormat.ID))

    assert (
        words.index("no glasses") < words.index("grey (#d5d7da)") < words.index("7:9") < words.index("identity, face")
    )
    assert "7:9" not in plain
    assert "Whatever was said" not in plain
