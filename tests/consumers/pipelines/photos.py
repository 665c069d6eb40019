"""Photos as phones take them: of a drawing, held in one of eight ways, with place and time in their EXIF."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational

from tests.drawings import save_jpeg

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera that is held in this way stores what it sees: the opposite of what a viewer does."""


def take_photo(
    scene: Image.Image,
    *,
    position: tuple[str, str] | None = None,
    taken_at: str | None = None,
    orientation: int = 1,
) -> bytes:
    """Take a photo; ``position`` is latitude and longitude in degrees, ``taken_at`` is ``2026-11-20 09:00:00``."""
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    if position:
        exif.get_ifd(IFD.GPSInfo).update(_gps(*position))
    if taken_at:
        exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = taken_at.replace("-", ":")
    stored = scene.transpose(_TURNS[orientation]) if orientation in _TURNS else scene
    return save_jpeg(stored, exif=exif)


def _gps(latitude: str, longitude: str) -> dict[int, object]:
    return {
        GPS.GPSLatitude: _sexagesimal(latitude),
        GPS.GPSLatitudeRef: "S" if latitude.startswith("-") else "N",
        GPS.GPSLongitude: _sexagesimal(longitude),
        GPS.GPSLongitudeRef: "W" if longitude.startswith("-") else "E",
    }


def _sexagesimal(degrees: str) -> tuple[int, int, IFDRational]:
    whole, rest = divmod(abs(Fraction(Decimal(degrees))), 1)
    minutes, seconds = divmod(rest * 60, 1)
    seconds *= 60
    return whole, minutes, IFDRational(seconds.numerator, seconds.denominator)
