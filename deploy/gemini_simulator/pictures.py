"""Pictures the simulator makes: a given photo restyled, or a landscape where none was given."""

import io
import math
import random
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps, PngImagePlugin

from deploy.gemini_simulator.looks import Colour, Look, choose_look
from deploy.gemini_simulator.protocol import RefusedError

LONGEST_SIDE: Final = 1024
MOST_PIXELS: Final = 100_000_000
FORMATS: Final = ("JPEG", "PNG", "WEBP")
WATERMARK: Final = "simulated"
SKIES: Final[dict[str, tuple[Colour, Colour, Colour]]] = {
    "positive": ((255, 214, 150), (244, 138, 108), (94, 76, 120)),
    "neutral": ((206, 226, 236), (150, 184, 196), (70, 98, 104)),
    "negative": ((120, 138, 170), (66, 80, 120), (26, 34, 58)),
}


def open_photo(data: bytes, longest_side: int = LONGEST_SIDE) -> Image.Image:
    """Decode an upright RGB photo of at most so many pixels a side; refuses with 400 as Gemini does."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image)
            image.draft("RGB", (longest_side, longest_side))
            photo = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise RefusedError(400, "Unable to process input image. Please retry or report the problem.") from None
    photo.thumbnail((longest_side, longest_side))
    return photo


def restyle(photo: Image.Image, prompt: str, aspect_ratio: str | None, seed: int) -> Image.Image:
    """Give a photo the look its prompt asks for; another seed gives slightly other light."""
    look = choose_look(prompt)
    framed = _crop(photo, _number(aspect_ratio) or look.ratio)
    light = random.Random(seed).uniform(0.97, 1.03)  # noqa: S311 - repeatable on purpose
    subject = _tone(framed, look, light)
    styled = Image.composite(subject, _backdrop(subject, look), _portrait_mask(framed.size))
    return _watermark(_darken_edges(styled, look.vignette))


def paint(mood: str, aspect_ratio: str | None, seed: int) -> Image.Image:
    """Paint hills under a sky: its colours follow the mood, its lines the seed."""
    ratio = _number(aspect_ratio) or 1.0
    size = (LONGEST_SIDE, round(LONGEST_SIDE / ratio)) if ratio >= 1 else (round(LONGEST_SIDE * ratio), LONGEST_SIDE)
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    high, low, ground = SKIES[mood]
    picture = _gradient(size, high, low)
    _draw_sun(picture, chance, high)
    for layer in range(5):
        _draw_hill(picture, chance, layer / 4, low, ground)
    return _watermark(picture.filter(ImageFilter.GaussianBlur(1)))


def encode(picture: Image.Image, mime_type: str) -> bytes:
    """Write a PNG or a JPEG, marked as simulated in its metadata."""
    stream = io.BytesIO()
    if mime_type == "image/jpeg":
        picture.save(stream, "JPEG", quality=88, comment=WATERMARK.encode())
    else:
        note = PngImagePlugin.PngInfo()
        note.add_text("Comment", WATERMARK)
        picture.save(stream, "PNG", compress_level=3, pnginfo=note)
    return stream.getvalue()


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise ValueError("too many pixels")


def _number(aspect_ratio: str | None) -> float | None:
    if aspect_ratio is None:
        return None
    width, height = aspect_ratio.split(":")
    return int(width) / int(height)


def _crop(photo: Image.Image, ratio: float | None) -> Image.Image:
    """Cut to a ratio of width to height, leaning to the upper half where faces are."""
    if ratio is None:
        return photo
    width, height = photo.size
    size = (min(width, round(height * ratio)), min(height, round(width / ratio)))
    return ImageOps.fit(photo, (max(1, size[0]), max(1, size[1])), centering=(0.5, 0.35))


def _tone(photo: Image.Image, look: Look, light: float) -> Image.Image:
    if look.monochrome:
        photo = ImageOps.grayscale(photo).convert("RGB")
    photo = ImageEnhance.Color(photo).enhance(look.colour)
    photo = ImageEnhance.Contrast(photo).enhance(look.contrast)
    red, green, blue = (light * look.brightness * (1 + look.warmth * sign) for sign in (1, 0, -1))
    table = [min(255, round(level * scale)) for scale in (red, green, blue) for level in range(256)]
    photo = photo.point(table)
    if look.glow:
        photo = Image.blend(photo, ImageChops.screen(photo, _soften(photo)), look.glow)
    return photo


def _soften(photo: Image.Image) -> Image.Image:
    """Blur strongly, at an eighth of the size because that is all a blur keeps."""
    small = photo.resize((max(1, photo.width // 8), max(1, photo.height // 8)))
    return small.filter(ImageFilter.GaussianBlur(3)).resize(photo.size)


def _backdrop(photo: Image.Image, look: Look) -> Image.Image:
    return Image.blend(_soften(photo), _gradient(photo.size, *look.backdrop), look.backdrop_share)


def _gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    return ImageOps.colorize(Image.linear_gradient("L").resize(size), top, bottom)


def _portrait_mask(size: tuple[int, int]) -> Image.Image:
    """Draw where a head and shoulders usually are, with soft edges."""
    mask = Image.new("L", (160, 160), 0)
    draw = ImageDraw.Draw(mask)
    draw.ellipse((46, 16, 114, 112), fill=255)
    draw.ellipse((6, 92, 154, 260), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(7)).resize(size)


def _darken_edges(picture: Image.Image, share: float) -> Image.Image:
    if not share:
        return picture
    mask = Image.radial_gradient("L").resize(picture.size).point([round(level * share) for level in range(256)])
    return Image.composite(Image.new("RGB", picture.size), picture, mask)


def _draw_sun(picture: Image.Image, chance: random.Random, sky: Colour) -> None:
    width, height = picture.size
    radius = min(width, height) * chance.uniform(0.07, 0.13)
    x, y = width * chance.uniform(0.2, 0.8), height * chance.uniform(0.18, 0.42)
    red, green, blue = (min(255, part + 40) for part in sky)
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(red, green, blue))


def _draw_hill(picture: Image.Image, chance: random.Random, nearness: float, far: Colour, near: Colour) -> None:
    width, height = picture.size
    base = height * (0.5 + 0.4 * nearness)
    waves = [
        (height * chance.uniform(0.02, 0.07), chance.uniform(1, 4), chance.uniform(0, math.tau)) for _wave in range(3)
    ]
    ridge = [
        (x, base + sum(tall * math.sin(often * math.tau * x / width + start) for tall, often, start in waves))
        for x in range(0, width + 8, 8)
    ]
    red, green, blue = (round(a + (b - a) * (0.25 + 0.75 * nearness)) for a, b in zip(far, near, strict=True))
    ImageDraw.Draw(picture).polygon([*ridge, (width, height), (0, height)], fill=(red, green, blue))


def _watermark(picture: Image.Image) -> Image.Image:
    """Write "simulated" into the lower right corner, so that nobody takes the picture for Gemini's."""
    font_size = max(9, picture.width // 36)
    mask = Image.new("L", picture.size, 0)
    place = (picture.width - font_size * 0.6, picture.height - font_size * 0.5)
    ImageDraw.Draw(mask).text(place, WATERMARK, font=ImageFont.load_default(font_size), fill=165, anchor="rs")
    shadow = ImageChops.offset(mask, 1, 1)
    picture.paste((0, 0, 0), mask=shadow)
    picture.paste((255, 255, 255), mask=mask)
    return picture
