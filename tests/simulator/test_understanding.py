"""Structured answers and embeddings: valid for the schema, and about the pixels and words that were sent."""

import json
import math
from enum import StrEnum
from typing import Any

import aiohttp
import pytest
from google import genai
from google.genai import types
from pydantic import BaseModel, ConfigDict, Field

from tests.simulator.asking import EMBEDDING, VISION, cosine, embed
from tests.simulator.photos import encode, message, portrait, street, wall

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Kind(StrEnum):
    """What may stand in a street."""

    TRUCK = "truck"
    CAR = "car"


class Vehicle(BaseModel):
    """One vehicle in a photo."""

    model_config = ConfigDict(extra="forbid")

    box_2d: list[int] = Field(min_length=4, max_length=4)
    label: Kind
    plate: str | None = Field(default=None, pattern=r"^\d{2,3}[가-힣]\d{4}$")
    confidence: float = Field(ge=0, le=1)


class Parking(BaseModel):
    """All vehicles in a photo."""

    model_config = ConfigDict(extra="forbid")

    vehicles: list[Vehicle]
    vehicle_count: int = Field(ge=0)


class Crack(BaseModel):
    """One crack in a photo."""

    box_2d: list[int]
    confidence: float = Field(gt=0, lt=1)


class Cracks(BaseModel):
    """All cracks in a photo."""

    has_crack: bool
    cracks: list[Crack]


class Diary(BaseModel):
    """The mood of a diary entry."""

    label: str = Field(json_schema_extra={"enum": ["positive", "neutral", "negative"]})
    score: float = Field(ge=0, le=1)
    joy: float = Field(ge=0, le=1)
    sadness: float = Field(ge=0, le=1)
    keywords: list[str] = Field(min_length=1, max_length=8)


def structured(model: type[BaseModel], *, as_json_schema: bool) -> types.GenerateContentConfig:
    """Ask for a model's schema in one of the two ways the SDK has."""
    if as_json_schema:
        return types.GenerateContentConfig(
            response_mime_type="application/json", response_json_schema=model.model_json_schema()
        )
    return types.GenerateContentConfig(response_mime_type="application/json", response_schema=model)


async def test_vehicle_is_found_where_it_stands(gemini: genai.Client) -> None:
    """Either kind of schema gets valid JSON with the box of the dark region."""
    for as_json_schema in (False, True):
        answer = await gemini.aio.models.generate_content(
            model=VISION,
            contents=message(encode(street()), "Find every vehicle."),
            config=structured(Parking, as_json_schema=as_json_schema),
        )
        parking = Parking.model_validate_json(answer.text or "")

        assert (len(parking.vehicles), parking.vehicle_count, parking.vehicles[0].label) == (1, 1, Kind.CAR)
        assert all(
            abs(given - found) <= 25
            for given, found in zip((500, 250, 750, 500), parking.vehicles[0].box_2d, strict=True)
        )


async def test_crack_is_found_and_a_clean_wall_has_none(gemini: genai.Client) -> None:
    """The line on the wall is found, and nothing where there is nothing."""
    found = []
    for photo in (wall(), portrait().resize((8, 8)).resize((300, 300))):
        answer = await gemini.aio.models.generate_content(
            model=VISION,
            contents=message(encode(photo, "PNG"), "Find every crack."),
            config=structured(Cracks, as_json_schema=True),
        )
        found.append(Cracks.model_validate_json(answer.text or ""))

    assert [(answer.has_crack, len(answer.cracks)) for answer in found] == [(True, 1), (False, 0)]
    top, left, bottom, right = found[0].cracks[0].box_2d
    assert (top < 230, left < 120, bottom > 800, right > 310) == (True, True, True, True)


async def test_mood_and_keywords_come_from_the_words(gemini: genai.Client) -> None:
    """A happy Korean entry is positive, a sad English one negative, each with its own keywords."""
    entries = (
        "친구와 공원에서 산책을 했다. 공원이 예뻐서 정말 행복했다.",
        "I cried at the station, I miss my lonely cat.",
    )
    moods = []
    for entry in entries:
        answer = await gemini.aio.models.generate_content(
            model=VISION,
            contents=message("Read the diary entry that follows.", entry),
            config=structured(Diary, as_json_schema=False),
        )
        assert isinstance(answer.parsed, Diary)
        moods.append(answer.parsed)

    assert [mood.label for mood in moods] == ["positive", "negative"]
    assert moods[0].joy > moods[0].sadness
    assert moods[0].keywords[0] == "공원"
    assert "station" in moods[1].keywords


async def test_similar_images_lie_closer_than_different_ones(gemini: genai.Client) -> None:
    """A smaller, re-encoded photo stays close to the original; another scene does not."""
    original, again, other = await embed(gemini, encode(portrait()), encode(portrait(width=180), "PNG"), encode(wall()))

    assert math.isclose(cosine(original, original), 1, abs_tol=1e-4)
    assert cosine(original, again) > 0.95
    assert cosine(original, other) < 0.6


async def test_similar_texts_lie_closer_than_different_ones(gemini: genai.Client) -> None:
    """Texts that share words lie closer than texts that share none, with a task before them or without."""
    one, near, far = await embed(
        gemini, "task: sentence similarity | query: a walk in the park", "a walk in a park", "불법 주차 신고"
    )

    assert cosine(one, near) > 0.7
    assert cosine(one, far) < 0.4


async def test_parts_without_contents_are_fused_into_one_vector(gemini: genai.Client) -> None:
    """The SDK folds bare parts into one content: one vector; contents of their own make one each."""
    bare: list[types.PartUnionDict] = [encode(portrait()), encode(wall())]
    folded = await gemini.aio.models.embed_content(model=EMBEDDING, contents=bare)
    separate = await embed(gemini, encode(portrait()), encode(wall()))

    assert [len(embedding.values or []) for embedding in folded.embeddings or []] == [3072]
    assert [len(vector) for vector in separate] == [768, 768]


async def test_plain_callers_may_spell_and_encode_as_they_like(simulator: str) -> None:
    """snake_case, unpadded URL-safe base64 and the key in the address work as well."""
    photo = types.Blob.model_validate(encode(street(), "PNG").inline_data)
    data = photo.model_dump(mode="json")["data"].rstrip("=").replace("+", "-").replace("/", "_")
    request: dict[str, Any] = {
        "contents": {"parts": [{"inline_data": {"mime_type": "image/png", "data": data}}, {"text": "vehicles"}]},
        "generation_config": {
            "response_mime_type": "application/json",
            "response_schema": {
                "type": "ARRAY",
                "max_items": 1,
                "items": {"type": "OBJECT", "properties": {"box_2d": {"type": "ARRAY", "items": {"type": "INTEGER"}}}},
            },
        },
    }
    url = f"{simulator}/v7/models/{VISION}:generateContent?key=test"
    async with aiohttp.ClientSession() as session, session.post(url, json=request) as response:
        answer = await response.json()

    assert response.status == 200
    assert [list(item) for item in json.loads(answer["candidates"][0]["content"]["parts"][0]["text"])] == [["box_2d"]]


async def test_models_are_listed_page_by_page_and_tokens_counted(gemini: genai.Client) -> None:
    """Listing, the readiness probe and countTokens answer as the SDK expects."""
    pager = await gemini.aio.models.list(config={"page_size": 4})
    names = {model.name async for model in pager}
    probe = await gemini.aio.models.get(model=VISION)
    tokens = await gemini.aio.models.count_tokens(model=VISION, contents=message(encode(street()), "12345678"))

    assert {f"models/{VISION}", f"models/{EMBEDDING}", "models/gemini-nano-banana-2.1"} <= names
    assert probe.supported_actions
    assert tokens.total_tokens == 1122
