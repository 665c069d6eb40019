"""How alike two places are: what decides it, and what is shown to the model for it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from consumers.backgrounds import NEAR_DUPLICATE_BITS, Scene, similarity
from consumers.boxes import Box
from consumers.drawing import MASKED_SIDE_PIXELS
from consumers.gemini_wire import Vector
from consumers.images import ImageWorker, Picture
from jobs.errors import InvalidImage
from tests.drawings import Car, save_jpeg, street

CAR = Car(x=400, y=420, width=400, plate="12가3456")
VEHICLE = Box(x=400, y=420, width=400, height=312)
SIZE = (1200, 900)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """An embedding model that answers what it was told to, and remembers what it was shown."""

    vectors: tuple[Vector, Vector] = ((1.0, 0.0), (0.6, 0.8))
    shown: list[Picture] = field(default_factory=list)

    async def __call__(self, pictures: Sequence[Picture]) -> list[Vector]:
        """Look at two pictures."""
        self.shown.extend(pictures)
        return list(self.vectors)


@pytest.fixture
async def images() -> AsyncIterator[ImageWorker]:
    """Open the threads for pictures."""
    worker = ImageWorker()
    yield worker
    worker.close()


def scene_of(place: int, *, quality: int = 90, vehicle: Box | None = VEHICLE) -> Scene:
    """Photograph a car in a place."""
    return Scene(content=save_jpeg(street(place, [CAR], size=SIZE).image, quality=quality), vehicle=vehicle)


def read(picture: Picture) -> Image.Image:
    """Decode what was shown."""
    return Image.open(io.BytesIO(picture.content)).convert("RGB")


async def test_a_near_duplicate_is_found_for_nothing(images: ImageWorker) -> None:
    """The model is not asked; the same picture is wholly alike."""
    embed = Embedding()
    same = await similarity(scene_of(2), scene_of(2), images, embed)
    again = await similarity(scene_of(2), scene_of(2, quality=60), images, embed)

    assert 1 == same
    assert 1 - NEAR_DUPLICATE_BITS / 64 <= again <= 1
    assert [] == embed.shown


@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        (((1.0, 0.0), (0.6, 0.8)), 0.6),
        (((1.0, 0.0), (1.0, 0.0)), 1),
        (((1.0, 0.0), (-1.0, 0.0)), 0),
        (((0.6, 0.8), (0.6, 0.8000001)), 1),
        (((1.0, 0.0), (0.0, 1.0)), 0),
    ],
)
async def test_the_model_decides_about_all_others(
    images: ImageWorker, vectors: tuple[Vector, Vector], expected: float
) -> None:
    """By the cosine, from 0 to 1."""
    assert expected == await similarity(scene_of(0), scene_of(5), images, Embedding(vectors=vectors))


async def test_the_model_sees_no_vehicle(images: ImageWorker) -> None:
    """It is grey where it stood, to its edges; what is around it stays."""
    embed = Embedding()
    await similarity(scene_of(0), scene_of(5), images, embed)
    share = MASKED_SIDE_PIXELS / SIZE[0]

    assert [(768, 576)] * 2 == [(picture.width, picture.height) for picture in embed.shown]
    for picture in map(read, embed.shown):
        left, top, right, bottom = (round(edge * share) for edge in (425, 445, 775, 707))
        covered = picture.crop((left, top, right, bottom)).tobytes()
        around = picture.crop((0, 0, 768, top - 32)).resize((16, 8)).convert("L").tobytes()
        assert all(abs(level - 128) <= 6 for level in covered)
        assert len(set(around)) > 4


async def test_a_photo_that_was_never_cut_is_shown_without_what_it_knows(images: ImageWorker) -> None:
    """Where nobody knows of a vehicle the upload itself is compared: upright, and without place, time and device."""
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    exif[Base.Make] = "Phone"
    exif.get_ifd(IFD.GPSInfo)[1] = "N"
    raw = Scene(content=save_jpeg(street(5, size=SIZE).image, exif=exif))
    embed = Embedding()
    await similarity(scene_of(0), raw, images, embed)
    picture = Image.open(io.BytesIO(embed.shown[1].content))

    assert (900, 1200) == picture.size
    assert 0 == len(picture.getexif())


@pytest.mark.parametrize("order", [1, -1])
async def test_what_is_no_picture_cannot_be_compared(images: ImageWorker, order: int) -> None:
    """Whichever of the two it is."""
    first, second = [scene_of(0), Scene(content=b"%PDF-1.7 ...")][::order]
    with pytest.raises(InvalidImage):
        await similarity(first, second, images, Embedding())
