"""Cutting out, outlining, masking and comparing pictures."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.ExifTags import IFD, Base

from consumers.boxes import Box, inside, scaled, surroundings
from consumers.drawing import crop, difference_hash, draw_boxes, hash_distance, mask
from consumers.images import Picture, prepare
from jobs.errors import InvalidImage
from tests.conftest import CHECKOUT
from tests.drawings.cars import Car
from tests.drawings.streets import street

MEBIBYTE = 2**20
SUBJECT = Box(x=200, y=100, width=80, height=60)
RED, WHITE, GREY = (255, 0, 0), (255, 255, 255), (128, 128, 128)

# Measures what one crop of a photo of 50 million pixels adds to the memory of a fresh process; ru_maxrss is in KiB on Linux.
MEASURE = r"""
import io, resource, sys
from PIL import Image
from consumers.boxes import Box
from consumers.drawing import crop
photo = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
picture = crop(photo, Box(**dict(zip(("x", "y", "width", "height"), map(int, sys.argv[1:])))))
print(picture.width, picture.height, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Write a picture."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def read(content: bytes) -> Image.Image:
    """Read a picture."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def photo_held(orientation: int, kind: str = "JPEG") -> bytes:
    """Take a photo of 400 × 300 with a red box on white, the camera held in one of eight ways."""
    upright = Image.new("RGB", (400, 300), WHITE)
    upright.paste(RED, (SUBJECT.x, SUBJECT.y, SUBJECT.x + SUBJECT.width, SUBJECT.y + SUBJECT.height))
    exif = Image.Exif()
    exif.get_ifd(IFD.GPSInfo)[1] = "N"
    # What turns the stored picture upright, turned back, is how the camera stored it.
    for stored_as in range(1, 9):
        exif[Base.Orientation] = stored_as
        stored = ImageOps.exif_transpose(read(encode(upright, "PNG", exif=exif)))
        exif[Base.Orientation] = orientation
        if ImageOps.exif_transpose(read(encode(stored, "PNG", exif=exif))).tobytes() == upright.tobytes():
            return encode(stored, kind, exif=exif, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    raise AssertionError("no such orientation")


def is_like(expected: tuple[int, int, int], image: Image.Image, place: tuple[int, int]) -> bool:
    """Say whether a pixel has about this colour."""
    actual = image.convert("RGB").getpixel(place)
    assert isinstance(actual, tuple)
    return max(abs(one - other) for one, other in zip(expected, actual, strict=True)) < 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_crop_is_what_its_viewer_sees(orientation: int, kind: str) -> None:
    """Whichever way the camera was held: red to its corners, white around, and no word of where it was."""
    photo = photo_held(orientation, kind)
    cut = crop(photo, SUBJECT)
    around = crop(photo, Box(x=190, y=90, width=100, height=80))
    red, framed = read(cut.content), read(around.content)

    assert ("image/jpeg", 80, 60, 80, 60) == (
        cut.content_type,
        cut.width,
        cut.height,
        cut.photo_width,
        cut.photo_height,
    )
    assert all(is_like(RED, red, place) for place in [(1, 1), (78, 1), (1, 58), (78, 58)])
    assert all(is_like(WHITE, framed, place) for place in [(5, 40), (94, 40), (50, 5), (50, 74)])
    assert all(is_like(RED, framed, place) for place in [(15, 40), (84, 40), (50, 15), (50, 64)])
    assert {} == dict(red.getexif())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_known_by_the_size_its_viewer_sees(orientation: int) -> None:
    """Before it was made smaller."""
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    lying = orientation >= 5
    picture = prepare(encode(Image.new("RGB", (5000, 2500)), exif=exif))

    assert ((2500, 5000) if lying else (5000, 2500)) == (picture.photo_width, picture.photo_height)
    assert ((1024, 2048) if lying else (2048, 1024)) == (picture.width, picture.height)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"garbage", b"Exif\0\0garbage and more"])
def test_broken_exif_is_no_reason_to_refuse_a_photo(kind: str, exif: bytes) -> None:
    """It is taken as upright."""
    photo = encode(Image.new("RGB", (64, 48)), kind, exif=exif)

    assert (64, 48) == (prepare(photo).width, prepare(photo).height)
    assert (40, 30) == (crop(photo, Box(x=0, y=0, width=40, height=30)).width, 30)


def test_a_phones_two_pictures_in_one_are_a_photo() -> None:
    """Portrait modes append a second picture; the first counts."""
    photo = encode(
        Image.new("RGB", (400, 300), "red"), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 48), "blue")]
    )

    assert (400, 300) == (prepare(photo).width, prepare(photo).height)
    assert is_like(RED, read(crop(photo, SUBJECT).content), (40, 30))


def test_a_comment_in_the_upload_goes_nowhere() -> None:
    """It may say who took the photo."""
    photo = encode(Image.new("RGB", (64, 48)), comment=b"taken by Kim")

    assert b"Kim" not in prepare(photo).content
    assert b"Kim" not in crop(photo, Box(x=0, y=0, width=40, height=40)).content


def test_a_large_crop_says_how_much_smaller_it_is() -> None:
    """At most 2048 pixels a side; its own size before is told."""
    photo = encode(Image.new("RGB", (6000, 2000), "red"))
    cut = crop(photo, Box(x=500, y=500, width=5000, height=1250))

    assert (2048, 512, 5000, 1250) == (cut.width, cut.height, cut.photo_width, cut.photo_height)


def test_a_crop_keeps_to_the_photo() -> None:
    """What lies outside is left away; where nothing is left there is no picture."""
    photo = photo_held(1)
    cut = crop(photo, Box(x=-50, y=250, width=150, height=500))

    assert (100, 50) == (cut.width, cut.height)
    with pytest.raises(InvalidImage):
        crop(photo, Box(x=400, y=0, width=10, height=10))


@pytest.mark.parametrize("box", [(3000, 2000, 2600, 1800), (0, 0, 8160, 6120)])
def test_a_crop_of_the_largest_photo_fits_a_small_task(box: tuple[int, int, int, int]) -> None:
    """50 million pixels, of which no more than the half of each side is ever decoded."""
    photo = encode(Image.new("RGB", (8160, 6120), "red"), quality=50)
    command = [sys.executable, "-c", MEASURE, *map(str, box)]
    said = subprocess.run(command, cwd=CHECKOUT, input=photo, capture_output=True, check=True, timeout=60).stdout
    width, height, taken = map(int, said.split())

    assert max(width, height) in (1300, 2048)
    assert taken * 1024 < 120 * MEBIBYTE


def test_boxes_are_drawn_where_they_are() -> None:
    """In pixels of the photo, into the smaller picture: something dark and something bright beside each edge."""
    picture = prepare(encode(Image.new("RGB", (4000, 3000), (128, 128, 128))))
    box = Box(x=1000, y=1000, width=800, height=600)
    drawn = draw_boxes(picture, [box])
    image = read(drawn.content).convert("L")
    small = scaled(box, (4000, 3000), image.size)
    row = image.crop((small.x - 20, small.y + 50, small.x + 20, small.y + 51)).tobytes()
    inner = image.crop((small.x + 9, small.y + 9, small.x + small.width - 9, small.y + small.height - 9))

    assert (2048, 1536, 4000, 3000) == (drawn.width, drawn.height, drawn.photo_width, drawn.photo_height)
    assert min(row) < 60
    assert max(row) > 180
    assert all(abs(level - 128) < 12 for level in inner.tobytes())


@pytest.mark.parametrize("colour", ["white", "black", "yellow", "gray"])
def test_a_box_is_seen_on_every_wall(colour: str) -> None:
    """Also around the whole picture, where there is no room outside."""
    plain = prepare(encode(Image.new("RGB", (640, 480), colour)))
    drawn = read(draw_boxes(plain, [Box(x=0, y=0, width=640, height=480)]).content).convert("L")
    edge = drawn.crop((0, 240, 12, 241)).tobytes()

    assert max(edge) - min(edge) > 120


def test_labels_stay_in_the_picture() -> None:
    """Above their box, or in it; as many as boxes."""
    plain = prepare(encode(Image.new("RGB", (640, 480), "white")))
    boxes = [Box(x=0, y=0, width=60, height=50), Box(x=630, y=200, width=10, height=200)]
    with_labels, without = draw_boxes(plain, boxes, ["85 %", "7 %"]), draw_boxes(plain, boxes)

    assert with_labels.content != without.content
    assert is_like((17, 17, 17), read(with_labels.content), (636, 185))
    with pytest.raises(ValueError, match="shorter"):
        draw_boxes(plain, boxes, ["85 %"])


def test_no_box_is_the_picture_itself() -> None:
    """A wall without a crack has a result too."""
    plain = prepare(encode(Image.new("RGB", (640, 480), "white")))

    assert is_like(WHITE, read(draw_boxes(plain, []).content), (0, 0))


@given(st.integers(-50, 700), st.integers(-50, 500), st.integers(1, 700), st.integers(1, 500))
def test_any_box_can_be_drawn(x: int, y: int, width: int, height: int) -> None:
    """Also one at the very edge."""
    box = inside(Box(x=x, y=y, width=width, height=height), Box(x=0, y=0, width=640, height=480))
    content = encode(Image.new("RGB", (64, 48), "white"))
    picture = Picture(
        content=content, content_type="image/jpeg", width=64, height=48, photo_width=640, photo_height=480
    )

    assert 64 == draw_boxes(picture, [box] if box else [], ["1"] if box else []).width


def test_a_mask_covers_the_vehicle_and_nothing_else() -> None:
    """Flat grey, whatever was there; at most 768 pixels a side."""
    picture = Image.new("RGB", (1600, 800), "white")
    picture.paste(RED, (400, 200, 1200, 600))
    covered = read(mask(encode(picture), Box(x=400, y=200, width=800, height=400)))

    assert (768, 384) == covered.size
    assert all(is_like(GREY, covered, place) for place in [(200, 104), (568, 104), (200, 280), (568, 280), (384, 192)])
    assert all(is_like(WHITE, covered, place) for place in [(180, 192), (590, 192), (384, 80), (384, 300)])
    assert "JPEG" == covered.format


def test_a_mask_beside_the_picture_covers_nothing() -> None:
    """And is no error."""
    assert is_like(
        RED, read(mask(encode(Image.new("RGB", (64, 48), "red")), Box(x=64, y=0, width=9, height=9))), (63, 0)
    )


def seen_at(place: int, x: int, colour: tuple[int, int, int] = (38, 42, 54), *, quality: int = 90) -> tuple[bytes, Box]:
    """Report a car at a place: the crop, and the car in it."""
    drawing = street(place, [Car(x=x, y=700, width=700, plate="12가3456", colour=colour)])
    car = Box(**{side: getattr(drawing.boxes[0], side) for side in ("x", "y", "width", "height")})
    around = surroundings(car, within=drawing.image.size)
    vehicle = inside(car, around)
    assert vehicle is not None
    return encode(read(crop(encode(drawing.image), around).content), quality=quality), vehicle


@pytest.mark.parametrize("place", range(4))
def test_the_same_picture_is_near_and_another_place_is_far(place: int) -> None:
    """The vehicle counts for nothing: another car at the same place is near, the same car elsewhere is not."""
    here = difference_hash(*seen_at(place, 650))
    again = difference_hash(*seen_at(place, 650, quality=60))
    other_car = difference_hash(*seen_at(place, 650, (120, 20, 20)))
    elsewhere = difference_hash(*seen_at(place + 1, 650))

    assert hash_distance(here, again) <= 4
    assert hash_distance(here, other_car) <= 4
    assert hash_distance(here, elsewhere) >= 24
    assert hash_distance(here, elsewhere) == hash_distance(elsewhere, here)
    assert 0 == hash_distance(here, here)


def test_a_picture_that_is_all_vehicle_is_like_none() -> None:
    """Not even itself: what is not seen must not be taken as the same place."""
    crop_of_it, _vehicle = seen_at(0, 650)
    width, height = read(crop_of_it).size
    hidden = difference_hash(crop_of_it, Box(x=0, y=0, width=width, height=height))

    assert 0 == hidden.seen
    assert 64 == hash_distance(hidden, hidden)


def test_two_even_pictures_are_not_one_place() -> None:
    """A night or a plain wall says nothing of where it is; that is left to a better judge."""
    night = difference_hash(encode(Image.new("RGB", (640, 480), (9, 9, 12))))

    assert 64 == hash_distance(night, night)


def test_a_step_is_brighter_or_darker() -> None:
    """From left to right, 64 of them where nothing is masked."""
    ramp = encode(Image.linear_gradient("L").rotate(90))
    one, other = difference_hash(ramp), difference_hash(encode(ImageOps.mirror(read(ramp))))

    assert 2**64 - 1 == one.seen == other.seen
    assert {(0, 2**64 - 1), (2**64 - 1, 0)} == {(one.brighter, one.darker), (other.brighter, other.darker)}
    assert 64 == hash_distance(one, other)


@pytest.mark.parametrize(
    "work",
    [
        lambda content: crop(content, SUBJECT),
        lambda content: mask(content, SUBJECT),
        lambda content: difference_hash(content, SUBJECT),
        lambda content: draw_boxes(
            Picture(content=content, content_type="image/jpeg", width=400, height=300), [SUBJECT]
        ),
    ],
    ids=["crop", "mask", "difference_hash", "draw_boxes"],
)
def test_what_cannot_be_read_is_refused(work: Callable[[bytes], object]) -> None:
    """No picture at all, one of a format that is not ours, a broken one, and one that is too large or too small."""
    fine = photo_held(1)
    broken = [
        b"",
        b"%PDF-1.7",
        encode(Image.new("RGB", (400, 300)), "GIF"),
        fine[: len(fine) // 2],
        encode(Image.new("1", (16_001, 40)), "PNG"),
        encode(Image.new("RGB", (31, 300)), "PNG"),
    ]

    for content in broken:
        with pytest.raises(InvalidImage):
            work(content)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
@pytest.mark.parametrize("size", [(400, 300), (5000, 300)])
def test_every_kind_of_picture_can_be_cut_and_masked(mode: str, size: tuple[int, int]) -> None:
    """Also the rare ones; the large one is made smaller while it is cut."""
    content = encode(Image.new(mode, size), "JPEG" if mode == "CMYK" else "PNG")
    whole = Box(x=0, y=0, width=size[0], height=size[1])

    assert (min(size[0], 2048), size[0]) == (crop(content, whole).width, crop(content, whole).photo_width)
    assert is_like(GREY, read(mask(content, whole)), (0, 0))
