"""Photos drawn for the tests."""

import io

from google.genai import types
from PIL import Image, ImageDraw


def encode(image: Image.Image, image_format: str = "JPEG") -> types.Part:
    """Wrap a picture as the SDK sends it."""
    stream = io.BytesIO()
    image.save(stream, image_format)
    return types.Part.from_bytes(data=stream.getvalue(), mime_type=f"image/{image_format.lower()}")


def message(*parts: types.Part | str) -> types.Content:
    """Put photos and words into one turn."""
    return types.Content(
        role="user", parts=[types.Part(text=part) if isinstance(part, str) else part for part in parts]
    )


def portrait(background: str = "seagreen", width: int = 240) -> Image.Image:
    """Draw a head and shoulders."""
    image = Image.new("RGB", (240, 300), background)
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 190, 200, 420), fill="navy")
    draw.ellipse((75, 60, 165, 185), fill="peachpuff")
    return image.resize((width, width * 300 // 240))


def street() -> Image.Image:
    """Draw a dark car on a bright street, at 1/4 … 1/2 of the width and 1/2 … 3/4 of the height."""
    image = Image.new("RGB", (400, 400), "lightgrey")
    ImageDraw.Draw(image).rectangle((100, 200, 200, 300), fill=(25, 25, 35))
    return image


def wall() -> Image.Image:
    """Draw a bright wall with one crack from the left edge's upper part downwards."""
    image = Image.new("RGB", (600, 400), "beige")
    ImageDraw.Draw(image).line([(60, 80), (120, 160), (110, 240), (200, 340)], fill=(60, 55, 50), width=3)
    return image
