"""Embeddings of places: alike for one place photographed twice, unlike for two, whatever car stands there."""

from dataclasses import replace
from itertools import combinations

import pytest
from google import genai
from google.genai import errors, types
from PIL import Image, ImageEnhance

from tests.drawings import PLACES, Car, save_jpeg, street
from tests.simulator.asking import EMBEDDING, cosine, embed, photo_part
from tests.simulator.photos import message

pytestmark = pytest.mark.asyncio(loop_scope="session")

CAR = Car(x=700, y=650, width=500, plate="12가3456")
OTHERS = (
    replace(CAR, width=560, colour=(100, 16, 20), plate="98호7654"),
    replace(CAR, x=560, y=700, width=430),
    replace(CAR, x=850, y=620, kind="truck", width=380),
)


def crop_of(place: int, car: Car, *, brightness: float = 1.0, shift: int = 0, quality: int = 90) -> bytes:
    """Photograph a place, lay grey over the car and cut out what is around it, as the service does."""
    drawing = street(place, [car])
    photo = ImageEnhance.Brightness(drawing.image).enhance(brightness)
    photo.paste((128, 128, 128), drawing.boxes[0].edges)
    left, top, right, bottom = drawing.boxes[0].grown(0.5, photo.size).edges
    crop = photo.crop((left + shift, top + shift, right, bottom))
    crop.thumbnail((768, 768), Image.Resampling.LANCZOS)
    return save_jpeg(crop, quality=quality)


async def test_one_place_twice_is_alike(gemini: genai.Client) -> None:
    """Another car at another spot, other light, another aim and another JPEG leave the cosine above 0.85."""
    for place in range(0, PLACES, 3):
        first, *again = await embed(
            gemini,
            photo_part(crop_of(place, CAR)),
            photo_part(crop_of(place, CAR, brightness=0.85, shift=40, quality=80)),
            *(photo_part(crop_of(place, car, brightness=1.15, quality=85)) for car in OTHERS),
        )

        assert min(cosine(first, vector) for vector in again) > 0.85


async def test_two_places_are_not(gemini: genai.Client) -> None:
    """The same car with the same plate at every place: no pair comes near 0.7."""
    vectors = await embed(gemini, *(photo_part(crop_of(place, CAR)) for place in range(PLACES)))

    assert max(cosine(first, second) for first, second in combinations(vectors, 2)) < 0.7


async def test_whole_photos_can_be_compared_too(gemini: genai.Client) -> None:
    """Without mask and crop the place still decides."""
    photos = [street(3, [CAR]), street(3, [OTHERS[1]]), street(8, [CAR])]
    here, again, elsewhere = await embed(gemini, *(photo_part(save_jpeg(photo.image)) for photo in photos))

    assert cosine(here, again) > 0.85
    assert cosine(here, elsewhere) < 0.7


async def test_markers_in_a_text_part_fail_embeddings_and_leave_no_trace_in_them(gemini: genai.Client) -> None:
    """429 and 503 apply to batchEmbedContents; a marker that fails nothing does not move the vector."""
    photo = photo_part(crop_of(5, CAR))
    for word, kind in {"429": errors.ClientError, "503": errors.ServerError, "500-once": errors.ServerError}.items():
        with pytest.raises(kind) as caught:
            await gemini.aio.models.embed_content(model=EMBEDDING, contents=[message(photo, f"[[sim:{word}]]")])

        assert str(caught.value.code) == word[:3]
    plain, marked = [
        await gemini.aio.models.embed_content(model=EMBEDDING, contents=[content])
        for content in (message(photo), message(photo, "[[sim:slow=0]]"))
    ]

    assert [row.values for row in plain.embeddings or []] == [row.values for row in marked.embeddings or []]


async def test_hanging_embedding_can_be_left(gemini: genai.Client) -> None:
    """The marker hang keeps batchEmbedContents waiting until the caller gives up."""
    config = types.EmbedContentConfig(http_options=types.HttpOptions(timeout=300, headers={"X-Server-Timeout": "10"}))
    with pytest.raises(TimeoutError):
        await gemini.aio.models.embed_content(model=EMBEDDING, contents=[message("[[sim:hang]]")], config=config)
