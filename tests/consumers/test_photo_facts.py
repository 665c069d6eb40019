"""Where and when a photo was taken."""

from __future__ import annotations

import io
import math
import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational

from consumers.photo_facts import PhotoFacts, Position, parse_capture_time, parse_position, read_facts
from jobs import parking
from jobs.errors import InvalidImage

SEOUL = ("37.5665", "126.978")
NORTH = (37, 33, IFDRational(594, 10))
EAST = (126, 58, IFDRational(408, 10))
NOTHING = PhotoFacts(position=None, taken_at=None)


def photo(exif: Image.Exif | bytes, kind: str = "JPEG") -> bytes:
    """Take a photo with this EXIF."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(stream, kind, exif=exif)
    return stream.getvalue()


def exif_at(
    latitude: object = NORTH, north: object = "N", longitude: object = EAST, east: object = "E", **times: object
) -> Image.Exif:
    """Write a place and times as a camera does; None leaves a tag out."""
    exif = Image.Exif()
    tags = {
        GPS.GPSLatitude: latitude,
        GPS.GPSLatitudeRef: north,
        GPS.GPSLongitude: longitude,
        GPS.GPSLongitudeRef: east,
    }
    exif.get_ifd(IFD.GPSInfo).update({tag: value for tag, value in tags.items() if value is not None})
    for name, value in times.items():
        directory = exif if name == "DateTime" else exif.get_ifd(IFD.Exif)
        directory[Base[name]] = value
    return exif


def exif_in_floats(latitude: tuple[float, ...], longitude: tuple[float, ...]) -> bytes:
    """Write a place as EXIF has no right to: in floats, which Pillow reads and does not write."""
    head = b"Exif\0\0MM\0*" + struct.pack(">LHHHLLL", 8, 1, IFD.GPSInfo, 4, 1, 26, 0)
    entries = [(1, 2, 2, b"N\0\0\0"), (2, 12, 3, struct.pack(">L", 80)), (3, 2, 2, b"E\0\0\0")]
    entries.append((4, 12, 3, struct.pack(">L", 104)))
    body = b"".join(struct.pack(">HHL", *entry[:3]) + entry[3] for entry in entries)
    return head + struct.pack(">H", 4) + body + struct.pack(">L6d", 0, *latitude, *longitude)


def cell(position: Position) -> tuple[str, str]:
    """Name the place's cell."""
    return parking.cut(position.latitude), parking.cut(position.longitude)


def place_of(exif: Image.Exif) -> tuple[str, str] | None:
    """Read a photo with this EXIF and return its cell."""
    position = read_facts(photo(exif)).position
    return cell(position) if position else None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_says_where_and_when(kind: str, orientation: int) -> None:
    """In each format, whichever way the camera was held."""
    exif = exif_at(DateTimeOriginal="2026:11:20 09:00:00")
    exif[Base.Orientation] = orientation
    expected = PhotoFacts(position=parse_position(*SEOUL), taken_at="2026-11-20 09:00:00")

    assert expected == read_facts(photo(exif, kind))


@pytest.mark.parametrize(
    ("north", "east", "expected"),
    [
        ("N", "E", ("37.5665", "126.9780")),
        ("N", "W", ("37.5665", "-126.9780")),
        ("S", "E", ("-37.5665", "126.9780")),
        ("S", "W", ("-37.5665", "-126.9780")),
        ("s", " w", ("-37.5665", "-126.9780")),
        (b"S\0\0\0", b"w\0", ("-37.5665", "-126.9780")),
        ("N ", "E\0\0", ("37.5665", "126.9780")),
    ],
)
def test_hemispheres_count(north: object, east: object, expected: tuple[str, str]) -> None:
    """Sydney is not in Japan, however its letter is written."""
    assert expected == place_of(exif_at(north=north, east=east))


@pytest.mark.parametrize(
    "exif",
    [
        exif_at(north=None),
        exif_at(east=None),
        exif_at(north=""),
        exif_at(north="X"),
        exif_at(north="NS"),
        exif_at(north="E", east="N"),
        exif_at(latitude=None),
        exif_at(longitude=None),
    ],
    ids=["no N/S", "no E/W", "blank", "X", "both", "swapped", "no latitude", "no longitude"],
)
def test_a_half_known_place_is_not_guessed(exif: Image.Exif) -> None:
    """A wrong accusation is worse than a question."""
    assert place_of(exif) is None


@pytest.mark.parametrize(
    "degrees",
    [
        (37, 33, IFDRational(0, 0)),
        (IFDRational(37, 0), 33, 59),
        (91, 0, 0),
        (90, 0, IFDRational(1, 100)),
        (37, 61, 0),
        (37, 0, 75),
        (IFDRational(37), IFDRational(33)),
        IFDRational(37),
    ],
    ids=repr,
)
def test_degrees_that_are_none_are_no_place(degrees: object) -> None:
    """Undefined, beyond the pole, or written some other way."""
    assert place_of(exif_at(latitude=degrees)) is None


@pytest.mark.parametrize(
    ("latitude", "expected"),
    [
        ((37.5, 0.0, 0.0), ("37.5000", "127.0000")),
        ((-37.5, 0.0, 0.0), None),
        ((math.nan, 0.0, 0.0), None),
        ((0.0, 0.0, math.inf), None),
    ],
)
def test_degrees_may_be_floats(latitude: tuple[float, ...], expected: tuple[str, str] | None) -> None:
    """Some programs write them so; not all of those are numbers."""
    position = read_facts(photo(exif_in_floats(latitude, (127.0, 0.0, 0.0)))).position

    assert expected == (position and cell(position))


def test_null_island_is_no_place() -> None:
    """Some phones write noughts until they have found a satellite; one nought alone is the equator."""
    noughts = (0, 0, 0)

    assert place_of(exif_at(latitude=noughts, longitude=noughts)) is None
    assert ("0.0000", "126.9780") == place_of(exif_at(latitude=noughts))


def test_decimal_degrees_and_minutes_are_read() -> None:
    """All three ways in which programs fill the three places; and a full sixty, which rounding writes."""
    assert ("37.5665", "126.9780") == place_of(
        exif_at(latitude=(IFDRational(375665, 10000), 0, 0), longitude=(126, IFDRational(5868, 100), 0))
    )
    assert ("38.0000", "126.9780") == place_of(exif_at(latitude=(37, 59, 60)))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"DateTimeOriginal": "2026:11:20 09:00:00", "DateTime": "2027:01:01 00:00:00"}, "2026-11-20 09:00:00"),
        ({"DateTimeDigitized": "2026:11:20 09:00:01", "DateTime": "2027:01:01 00:00:00"}, "2026-11-20 09:00:01"),
        ({"DateTime": "2026:11:20 09:00:02"}, None),
        ({"DateTimeOriginal": "0000:00:00 00:00:00", "DateTime": "2026:11:20 09:00:02"}, None),
        (
            {"DateTimeOriginal": "    :  :     :  :  ", "DateTimeDigitized": "2026:11:20 09:00:03"},
            "2026-11-20 09:00:03",
        ),
        ({"DateTimeOriginal": b"2026:11:20 09:00:04\0"}, "2026-11-20 09:00:04"),
        ({"DateTimeOriginal": "2026-11-20 09:00:05"}, "2026-11-20 09:00:05"),
        ({"DateTimeOriginal": "2026:02:30 09:00:00"}, None),
        ({"DateTimeOriginal": "2026:11:20 24:00:00"}, None),
        ({"DateTimeOriginal": "yesterday"}, None),
        ({"DateTimeOriginal": "2026:11:20"}, None),
        ({"DateTimeOriginal": 20261120}, None),
        ({}, None),
    ],
)
def test_the_time_is_the_first_that_can_be_one(times: dict[str, object], expected: str | None) -> None:
    """Of the moment of exposure and of digitizing; that of the last change tells of no car."""
    assert expected == read_facts(photo(exif_at(**times))).taken_at


def test_a_photo_without_a_place_may_know_its_time() -> None:
    """They are read apart."""
    exif = exif_at(latitude=(99, 0, 0), DateTimeOriginal="2026:11:20 09:00:00")

    assert PhotoFacts(position=None, taken_at="2026-11-20 09:00:00") == read_facts(photo(exif))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"garbage",
        b"Exif\0\0garbage and more of it",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x88\x25\0\x04\0\0\0\x01\xff\xff\xff\xff\0\0\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x88\x25\0\x04\0\0\0\x01\0\0\0\x08\0\0\0\0",
    ],
    ids=["absent", "empty", "garbage", "no TIFF", "far away", "cut off", "GPS far away", "GPS in a circle"],
)
def test_broken_exif_is_no_exif(kind: str, exif: bytes) -> None:
    """It never raises."""
    assert NOTHING == read_facts(photo(exif, kind))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@given(data=st.data())
def test_exif_may_be_broken_anywhere(data: st.DataObject) -> None:
    """Any byte may be another, and the rest missing."""
    whole = bytearray(exif_at(DateTimeOriginal="2026:11:20 09:00:00").tobytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(6, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(7, len(whole)))

    assert isinstance(read_facts(photo(bytes(whole[:cut]))), PhotoFacts)


def test_what_is_no_photo_is_refused() -> None:
    """Its sender is told so, rather than that a place is missing."""
    with pytest.raises(InvalidImage):
        read_facts(b"%PDF-1.7")


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        (37.1234, 127.9999, ("37.1234", "127.9999")),
        ("37.12349999", "127.99999999", ("37.1234", "127.9999")),
        (-37.12349, -0.00019, ("-37.1234", "-0.0001")),
        (-0.00001, -0.0, ("0.0000", "0.0000")),
        ("-0.00009", "-0", ("0.0000", "0.0000")),
        ("0", "126.978", ("0.0000", "126.9780")),
        (0.1 + 0.2, 1e-05, ("0.3000", "0.0000")),
        (90, -180, ("90.0000", "-180.0000")),
        (Decimal("37.5"), " 127 ", ("37.5000", "127.0000")),
        ("37.12339999999999999999999999999999999999", "0", ("37.1233", "0.0000")),
    ],
)
def test_a_cell_is_cut_not_rounded(
    latitude: str | float | Decimal, longitude: str | float | Decimal, expected: tuple[str, str]
) -> None:
    """Towards nought, in four decimals, without a minus before nothing."""
    assert expected == cell(parse_position(latitude, longitude))


@given(st.integers(-900_000, 900_000), st.integers(1, 1_800_000), st.sampled_from([-1, 1]))
def test_a_cells_corner_lies_in_it(latitude: int, longitude: int, side: int) -> None:
    """As text and as a float, whose binary form may lie a hair below, and as degrees, minutes and seconds."""
    longitude *= side
    written = (f"{Decimal(latitude) / 10_000:.4f}", f"{Decimal(longitude) / 10_000:.4f}")
    expected = tuple(text if float(text) else "0.0000" for text in written)

    assert expected == cell(parse_position(*written))
    assert expected == cell(parse_position(latitude / 10_000, longitude / 10_000))


@given(st.integers(1, 899_999), st.sampled_from("NS"))
def test_a_cells_corner_in_seconds_lies_in_it(latitude: int, north: str) -> None:
    """A ten thousandth of a degree is 36 hundredths of a second, which rationals hold exactly."""
    hundredths = latitude * 36
    degrees, rest = divmod(hundredths, 360_000)
    minutes, seconds = divmod(rest, 6_000)
    found = place_of(exif_at(latitude=(degrees, minutes, IFDRational(seconds, 100)), north=north))
    sign = "-" if north == "S" else ""

    assert found is not None
    assert f"{sign}{Decimal(latitude) / 10_000:.4f}" == found[0]


@given(st.fractions(-90, 90), st.fractions(-180, Fraction(-1, 10**9)))
def test_a_stored_position_keeps_its_cell(latitude: Fraction, longitude: Fraction) -> None:
    """Results carry it as JSON's floats."""
    position = parse_position(float(latitude), float(longitude))

    assert position == parse_position(float(position.latitude), float(position.longitude))
    assert cell(position) == cell(parse_position(float(position.latitude), float(position.longitude)))


@pytest.mark.parametrize(
    "wrong", ["", "north", "nan", "inf", "sNaN", "90.0001", "-91", "3_7", "３７", "37,5", math.nan, True]
)
def test_a_latitude_that_is_none_is_named(wrong: str | float) -> None:
    """So that its sender finds it."""
    with pytest.raises(ValueError, match=r"^latitude must"):
        parse_position(wrong, 127)


@pytest.mark.parametrize("wrong", ["180.00001", -181, math.inf, "1e999999999999999999999"])
def test_a_longitude_that_is_none_is_named(wrong: str | float) -> None:
    """The same."""
    with pytest.raises(ValueError, match=r"^longitude must"):
        parse_position(37, wrong)


@pytest.mark.parametrize("nought", [0, "-0", 0.0, "1e-11"])
def test_a_sender_does_not_park_on_null_island_either(nought: str | float) -> None:
    """It is what programs write that know no place."""
    with pytest.raises(ValueError, match=r"^latitude and longitude are both 0"):
        parse_position(nought, nought)


@pytest.mark.parametrize(
    "text", ["2026-11-20 09:00:00", "2026-11-20T09:00:00", "2026-11-20T09:00:00.123", "2026-11-20 09:00:00.999999999"]
)
def test_a_senders_time_is_read(text: str) -> None:
    """With T or without; parts of a second are dropped."""
    assert "2026-11-20 09:00:00" == parse_capture_time(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2026-11-20T09:00:00Z", "without a zone"),
        ("2026-11-20 09:00:00+09:00", "without a zone"),
        ("2026-11-20 09:00", "YYYY-MM-DD HH:MM:SS"),
        ("2026-11-20", "YYYY-MM-DD HH:MM:SS"),
        ("2026:11:20 09:00:00", "YYYY-MM-DD HH:MM:SS"),
        ("２０２６-11-20 09:00:00", "YYYY-MM-DD HH:MM:SS"),
        ("2026-11-20 09:00:00\n", "YYYY-MM-DD HH:MM:SS"),
        ("2026-02-29 09:00:00", "no date and time that exists: 2026-02-29"),
        ("2026-11-20 24:00:00", "no date and time that exists"),
        ("0000-00-00 00:00:00", "no date and time that exists"),
        ("", "YYYY-MM-DD HH:MM:SS"),
    ],
)
def test_a_senders_time_that_is_none_is_explained(text: str, sentence: str) -> None:
    """A zone would move it: cameras write the time at the place."""
    with pytest.raises(ValueError, match=sentence):
        parse_capture_time(text)


def test_a_position_is_a_value() -> None:
    """Equal where its degrees are."""
    assert Position(latitude=Decimal("37.5"), longitude=Decimal(127)) == parse_position("37.50", 127)
