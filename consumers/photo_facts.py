"""Where and when a photo was taken: as its EXIF says, or as its sender writes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Context, Decimal
from fractions import Fraction
from numbers import Rational
from typing import Final

from PIL import ExifTags, Image

from consumers.images import open_photo, refusing_unreadable

_KEPT: Final = Decimal("0.0000000001")
"""A hundredth of a millimetre. So many decimals survive JSON's floats, so that a stored position keeps its cell."""
_CUTTING: Final = Context(prec=28, rounding=ROUND_DOWN)
"""Cut twice is cut once: with rounding, a quotient a hair below a cell's edge would come up to it."""
_TAKEN_AT: Final = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
_WRITTEN: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.\d{1,9})?", re.ASCII)
_BLANKS: Final = " \t\r\n\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in degrees, north and east positive, with at most ten decimals."""

    latitude: Decimal
    longitude: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFacts:
    """What a photo knows of itself; ``taken_at`` is local time at the place, "YYYY-MM-DD HH:MM:SS"."""

    position: Position | None
    taken_at: str | None


def read_facts(photo: bytes) -> PhotoFacts:
    """Read a photo's EXIF; what is absent, broken or doubtful there is None.

    Raises InvalidImage where the bytes are no photo at all.
    """
    with refusing_unreadable():
        image = open_photo(photo)
    with image:
        return PhotoFacts(position=_position_of(image), taken_at=_taken_at_of(image))


def parse_position(latitude: str | float | Decimal, longitude: str | float | Decimal) -> Position:
    """Read a position in degrees. Raises ValueError, whose sentence begins with the field's name."""
    position = Position(latitude=_degrees("latitude", latitude, 90), longitude=_degrees("longitude", longitude, 180))
    if _is_nowhere(position):
        raise ValueError("latitude and longitude are both 0, as programs write that know no place.")
    return position


def parse_capture_time(text: str) -> str:
    """Return a sender's local time as "YYYY-MM-DD HH:MM:SS". Raises ValueError with a sentence for the sender."""
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise ValueError(
            "The capture time must be written YYYY-MM-DD HH:MM:SS: local time at the place, without a zone or Z."
        )
    day_and_time = f"{written[1]} {written[2]}"
    if not _exists(day_and_time):
        raise ValueError(f"The capture time is no date and time that exists: {day_and_time}.")
    return day_and_time


def _degrees(field: str, value: str | float | Decimal, most: int) -> Decimal:
    # Decimal would take digits of other scripts, and underscores between them.
    text = str(value).strip()
    try:
        degrees = Decimal(text) if text.isascii() and "_" not in text else Decimal("NaN")
    except ArithmeticError:
        degrees = Decimal("NaN")
    if not degrees.is_finite() or not -most <= degrees <= most:
        raise ValueError(f"{field} must be a number of degrees from -{most} to {most}.")
    return _kept(degrees)


def _kept(degrees: Decimal) -> Decimal:
    return _without_negative_zero(degrees.quantize(_KEPT, context=_CUTTING))


def _without_negative_zero(degrees: Decimal) -> Decimal:
    return degrees.copy_abs() if degrees.is_zero() else degrees


def _position_of(image: Image.Image) -> Position | None:
    tags = _tags(image, ExifTags.IFD.GPSInfo)
    try:
        latitude = _signed(tags[ExifTags.GPS.GPSLatitude], tags[ExifTags.GPS.GPSLatitudeRef], "NS", 90)
        longitude = _signed(tags[ExifTags.GPS.GPSLongitude], tags[ExifTags.GPS.GPSLongitudeRef], "EW", 180)
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    position = Position(latitude=_kept(latitude), longitude=_kept(longitude))
    return None if _is_nowhere(position) else position


def _is_nowhere(position: Position) -> bool:
    """Tell whether it is where both are 0: some phones write it while they still look for satellites; nobody parks there."""
    return position.latitude == 0 and position.longitude == 0


def _signed(parts: object, reference: object, letters: str, most: int) -> Decimal:
    """Make degrees of what EXIF has for one of the two. Raises ValueError and ZeroDivisionError."""
    if not isinstance(parts, tuple) or len(parts) != 3:
        raise ValueError("degrees, minutes and seconds are needed")
    degrees, minutes, seconds = map(_exactly, parts)
    total = degrees + minutes / 60 + seconds / 3600
    # A full 60 is what rounding writes.
    if min(degrees, minutes, seconds) < 0 or max(minutes, seconds) > 60 or total > most:
        raise ValueError("this is not on Earth")
    letter = _text(reference).upper()
    if len(letter) != 1 or letter not in letters:
        raise ValueError("the hemisphere is not known")
    amount = _CUTTING.divide(Decimal(total.numerator), Decimal(total.denominator))
    return amount if letter == letters[0] else -amount


def _exactly(part: object) -> Fraction:
    if isinstance(part, Rational):
        return Fraction(int(part.numerator), int(part.denominator))
    return Fraction(str(part))


def _taken_at_of(image: Image.Image) -> str | None:
    # Not DateTime: it is when the file was last changed.
    camera = _tags(image, ExifTags.IFD.Exif)
    written = (camera.get(ExifTags.Base.DateTimeOriginal), camera.get(ExifTags.Base.DateTimeDigitized))
    return next(filter(None, map(_time, written)), None)


def _time(written: object) -> str | None:
    found = _TAKEN_AT.fullmatch(_text(written))
    if found is None:
        return None
    day_and_time = "{}-{}-{} {}:{}:{}".format(*found.groups())
    return day_and_time if _exists(day_and_time) else None


def _exists(day_and_time: str) -> bool:
    try:
        datetime.fromisoformat(day_and_time)
    except ValueError:
        return False
    return True


def _text(written: object) -> str:
    text = written.decode("latin-1") if isinstance(written, bytes) else str(written)
    return text.strip(_BLANKS)


def _tags(image: Image.Image, directory: int) -> Mapping[int, object]:
    try:
        return image.getexif().get_ifd(directory)
    except Exception:  # noqa: BLE001 - Pillow's parsers raise whatever broken bytes make them raise; then nothing is known
        return {}
