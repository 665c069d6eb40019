"""Vehicles and plates: found and read where they were drawn, never made up."""

import io
from typing import Any

import pytest
from google import genai
from google.genai import types
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from pydantic import BaseModel

from deploy.gemini_simulator import plate_form
from tests.drawings import Box, Car, Drawing, save_jpeg, street
from tests.simulator.asking import VISION, ask, photo_part
from tests.simulator.photos import message

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Every syllable; both lengths.
PLATES = tuple(
    f"{12 + 37 * number % 890}{syllable}{(1234 + 4177 * number) % 10_000:04}"
    for number, syllable in enumerate(plate_form.HANGUL)
)


class Vehicle(BaseModel):
    """One vehicle in a photo."""

    box_2d: list[int]
    label: str
    plate: str | None
    plate_confidence: float
    confidence: float


class Parking(BaseModel):
    """All vehicles in a photo."""

    vehicles: list[Vehicle]


class Plate(BaseModel):
    """The plate in a crop, as a schema asks for it that wants no boxes."""

    plate_string: str | None
    plate_visible: bool


class CertainPlate(BaseModel):
    """The plate by a schema that knows no null."""

    plate: str


def expected_box(box: Box, image: Image.Image) -> list[float]:
    """Return a box as Gemini gives it."""
    left, top, right, bottom = box.edges
    return [
        top * 1000 / image.height,
        left * 1000 / image.width,
        bottom * 1000 / image.height,
        right * 1000 / image.width,
    ]


def as_seen(photo: bytes, quality: int = 85) -> bytes:
    """Shrink a photo to 2048 pixels and save it again, as the service does before it asks."""
    with Image.open(io.BytesIO(photo)) as image:
        image.thumbnail((2048, 2048))
        return save_jpeg(image, quality=quality)


async def read(client: genai.Client, photo: bytes) -> str | None:
    """Ask for the plate in a crop."""
    return (await ask(client, Plate, photo_part(photo), "Read the plate.")).plate_string


async def test_every_vehicle_has_its_box_label_and_plate(gemini: genai.Client) -> None:
    """Three of different sizes: each where it stands, with its own plate or none, the large one surer."""
    drawing = street(
        4,
        [
            Car(x=150, y=650, width=700, plate="12가3456"),
            Car(x=1200, y=480, width=420, plate="123허4567", kind="truck", colour=(96, 20, 24)),
            Car(x=1750, y=900, width=160),
        ],
    )
    found = (await ask(gemini, Parking, photo_part(save_jpeg(drawing.image)), "Find every vehicle.")).vehicles
    by_place = sorted(found, key=lambda vehicle: vehicle.box_2d[1])

    assert [vehicle.plate for vehicle in by_place] == ["12가3456", "123허4567", None]
    assert [vehicle.label for vehicle in by_place] == ["car", "truck", "car"]
    assert by_place[0].confidence > by_place[2].confidence
    assert by_place[0].plate_confidence > 0.9
    assert by_place[2].plate_confidence == 0
    for vehicle, box in zip(by_place, drawing.boxes, strict=True):
        assert vehicle.box_2d == pytest.approx(expected_box(box, drawing.image), abs=3)


async def test_street_without_cars_has_none(gemini: genai.Client) -> None:
    """Buildings, windows, trees and markings are no vehicles, in any place."""
    for place in range(12):
        photo = photo_part(save_jpeg(street(place, size=(1000, 750)).image))

        assert (await ask(gemini, Parking, photo, "Find every vehicle.")).vehicles == []


async def test_neighbours_in_a_row_stay_apart(gemini: genai.Client) -> None:
    """Cars parked a hundredth of the photo from each other are as many as there are, each with its plate."""
    cars = [Car(x=100 + 420 * number, y=700, width=400, plate=f"{20 + number}가100{number}") for number in range(4)]
    found = await ask(gemini, Parking, photo_part(save_jpeg(street(7, cars).image)), "Find every vehicle.")

    assert {vehicle.plate for vehicle in found.vehicles} == {car.plate for car in cars}


async def test_vehicle_that_the_edge_cuts_is_less_sure(gemini: genai.Client) -> None:
    """Half a car is a car, but a whole one of the same size comes first."""
    drawing = street(1, [Car(x=-250, y=600, width=500), Car(x=1000, y=600, width=500)])
    found = (await ask(gemini, Parking, photo_part(save_jpeg(drawing.image)), "Find every vehicle.")).vehicles

    assert [vehicle.label for vehicle in found] == ["car", "car"]
    assert found[0].box_2d == pytest.approx(expected_box(drawing.boxes[1], drawing.image), abs=3)
    assert found[1].box_2d == pytest.approx(expected_box(drawing.boxes[0], drawing.image), abs=3)
    assert found[0].confidence > found[1].confidence


@pytest.mark.parametrize("width", [330, 700, 1400])
async def test_every_syllable_and_digit_is_read(gemini: genai.Client, width: int) -> None:
    """Crops whose plates have digits of 19 to 82 pixels, in changing light and quality."""
    for number, plate in enumerate(PLATES[:: 1 if width == 330 else 5]):
        drawing = street(number, [Car(x=40, y=40, width=width, plate=plate)], size=(width + 80, width))
        photo = ImageEnhance.Brightness(drawing.image).enhance(0.85 + number % 4 / 10)

        assert await read(gemini, save_jpeg(photo, quality=85 + number % 8)) == plate


@pytest.mark.parametrize("plate", ["07도0853", "314무6290", "68수1177"])
async def test_plate_survives_being_shrunk_cut_and_saved_again(gemini: genai.Client, plate: str) -> None:
    """A photo of 4000 pixels: read in the thumbnail, and in the crop of the full size."""
    drawing = street(2, [Car(x=1500, y=1300, width=690, plate=plate)], size=(4000, 3000))
    photo = save_jpeg(drawing.image)
    crop = drawing.image.crop(drawing.boxes[0].grown(0.1, drawing.image.size).edges)
    found = await ask(gemini, Parking, photo_part(as_seen(photo)), "Find every vehicle.")

    assert [vehicle.plate for vehicle in found.vehicles] == [plate]
    assert await read(gemini, save_jpeg(crop)) == plate
    assert await read(gemini, save_jpeg(drawing.image.crop(drawing.boxes[0].edges))) == plate


def smeared(drawing: Drawing, what: str) -> Image.Image:
    """Make the plate of a drawing's only car unreadable in some way."""
    image = drawing.image.copy()
    plate = drawing.plates[0]
    assert plate is not None
    left, top, right, bottom = plate.edges
    draw = ImageDraw.Draw(image)
    match what:
        case "blurred":
            image.paste(image.crop(plate.edges).filter(ImageFilter.GaussianBlur(plate.height / 8)), plate.edges)
        case "half covered":
            draw.rectangle((left, top, left + plate.width // 2, bottom), fill=(30, 30, 30))
        case "digit covered":
            draw.rectangle((right - plate.width // 5, top + 4, right - 8, bottom - 4), fill=(236, 238, 236))
        case "upside down":
            image.paste(image.crop(plate.edges).rotate(180), plate.edges)
        case _:
            draw.rectangle((left, top, right, bottom), fill=(236, 238, 236))
    return image


@pytest.mark.parametrize("what", ["blurred", "half covered", "digit covered", "upside down", "empty"])
async def test_plate_that_cannot_be_read_is_null(gemini: genai.Client, what: str) -> None:
    """In doubt there is no plate: nothing is guessed."""
    photo = save_jpeg(smeared(street(6, [Car(x=40, y=40, width=500, plate="35나2468")], size=(580, 480)), what))
    answer = await ask(gemini, Plate, photo_part(photo), "Read the plate.")

    assert answer == Plate(plate_string=None, plate_visible=False)


async def test_plate_is_empty_where_the_schema_forbids_null(gemini: genai.Client) -> None:
    """A required string is empty without a plate, and the plate with one."""
    answers = [
        await ask(gemini, CertainPlate, photo_part(save_jpeg(street(6, cars, size=(580, 480)).image)), "Read it.")
        for cars in ([Car(x=40, y=40, width=500)], [Car(x=40, y=40, width=500, plate="35나2468")], [])
    ]

    assert [answer.plate for answer in answers] == ["", "35나2468", ""]


async def test_plate_is_null_in_every_way_a_schema_can_say_so(gemini: genai.Client) -> None:
    """OpenAPI's nullable, a list of types, and anyOf."""
    spellings: list[dict[str, Any]] = [
        {"type": "STRING", "nullable": True},
        {"type": ["string", "null"], "pattern": "^[0-9]{2,3}[가-힣][0-9]{4}$"},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
    ]
    photo = photo_part(save_jpeg(street(6, size=(400, 300)).image))
    for spelling in spellings:
        answer = await gemini.aio.models.generate_content(
            model=VISION,
            contents=message(photo, "Read the plate."),
            config=types.GenerateContentConfig(
                response_mime_type="application/json",
                response_json_schema={"type": "object", "properties": {"licensePlate": spelling}},
            ),
        )

        assert answer.text == '{"licensePlate": null}'
