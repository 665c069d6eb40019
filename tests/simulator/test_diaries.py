"""Diary entries: mood, emotions, keywords and a scene from the words, and pictures that follow the mood."""

import io

import pytest
from google import genai
from google.genai import errors, types
from PIL import Image, ImageStat
from pydantic import BaseModel, Field

from tests.simulator.asking import ask
from tests.simulator.photos import message

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAINTER = "gemini-nano-banana-2.1"
INSTRUCTION = "Read the diary entry that follows. Say how its writer feels, happy or sad."


class Emotions(BaseModel):
    """How strong each emotion is."""

    joy: float = Field(ge=0, le=1)
    calm: float = Field(ge=0, le=1)
    sadness: float = Field(ge=0, le=1)
    anger: float = Field(ge=0, le=1)
    fear: float = Field(ge=0, le=1)
    surprise: float = Field(ge=0, le=1)


class Entry(BaseModel):
    """What a diary entry says."""

    label: str = Field(json_schema_extra={"enum": ["positive", "neutral", "negative"]})
    score: float = Field(ge=0, le=1)
    emotions: Emotions
    keywords: list[str] = Field(max_length=8)
    scene: str


@pytest.mark.parametrize(
    ("text", "label", "emotion"),
    [
        ("친구와 공원에서 산책을 했다. 정말 행복했다.", "positive", "joy"),
        ("할머니가 그리워서 눈물이 났다. 너무 슬펐다.", "negative", "sadness"),
        ("오늘은 하나도 행복하지 않았다.", "negative", "sadness"),
        ("기분이 안 좋았다.", "negative", "sadness"),
        ("영화가 재미없었다.", "negative", "sadness"),
        ("동생과 싸웠고 짜증이 났다.", "negative", "anger"),
        ("내일 시험이 불안하고 무서웠다.", "negative", "fear"),
        ("What a wonderful day, I love this park!", "positive", "joy"),
        ("I cried all night. I miss my cat.", "negative", "sadness"),
        ("I was not very happy today.", "negative", "sadness"),
        ("It wasn't fun at all.", "negative", "sadness"),
        ("The exam was not easy, but I am happy.", "positive", "joy"),
        ("No rain today, and a great lunch.", "positive", "joy"),
    ],
)
async def test_mood_follows_the_words(gemini: genai.Client, text: str, label: str, emotion: str) -> None:
    """Label and strongest emotion, in Korean and English, denied words turned round."""
    entry = await ask(gemini, Entry, INSTRUCTION, text)
    strengths = entry.emotions.model_dump()

    assert entry.label == label
    assert max(strengths, key=lambda name: strengths[name]) == emotion
    assert entry.score > 0.5


async def test_plain_entry_is_neutral(gemini: genai.Client) -> None:
    """Without a word of feeling no emotion is made up."""
    entry = await ask(gemini, Entry, INSTRUCTION, "I bought milk and bread at the market.")

    assert entry.label == "neutral"
    assert set(entry.emotions.model_dump().values()) == {0}


async def test_scene_tells_an_illustrator_what_and_how(gemini: genai.Client) -> None:
    """The scene names the keywords and the mood."""
    happy = await ask(gemini, Entry, INSTRUCTION, "친구와 공원에서 산책을 했다. 공원이 예뻐서 행복했다.")
    sad = await ask(gemini, Entry, INSTRUCTION, "I cried at the station.")

    assert happy.scene.startswith("A gentle scene about 공원, ")
    assert happy.scene.endswith(", in a happy mood.")
    assert sad.scene == "A gentle scene about cried, station, in a sad mood."


async def brightness(client: genai.Client, prompt: str) -> float:
    """Have a prompt painted and return how bright the picture is."""
    answer = await client.aio.models.generate_content(
        model=PAINTER, contents=message(prompt), config=types.GenerateContentConfig(response_modalities=["IMAGE"])
    )
    data = next(part.inline_data.data for part in answer.parts or [] if part.inline_data) or b""
    return ImageStat.Stat(Image.open(io.BytesIO(data)).convert("L")).mean[0]


@pytest.mark.parametrize(
    ("bright", "dark"),
    [
        ("Paint a walk in the rain. Mood: positive.", "Paint a happy, gentle picture of a party. Mood: negative."),
        ("A quiet lake, in a joyful mood", "A gentle walk by the lake, in a sad mood"),
        ("행복한 하루", "슬픈 하루"),
        ("A gentle scene about 공원, in a happy mood.", "A gentle scene about 공원, in a sad mood."),
    ],
)
async def test_picture_follows_the_mood_of_its_prompt(gemini: genai.Client, bright: str, dark: str) -> None:
    """A mood that is named outright wins over the other words."""
    assert await brightness(gemini, bright) > await brightness(gemini, dark) + 30


async def test_markers_work_in_an_entry(gemini: genai.Client) -> None:
    """What stands in the text itself reaches the faults, and stays out of the keywords."""
    with pytest.raises(errors.ServerError, match="overloaded"):
        await ask(gemini, Entry, INSTRUCTION, "A happy day. [[sim:503]]")
    entry = await ask(gemini, Entry, INSTRUCTION, "A happy picnic. [[sim:slow=0]]")

    assert entry.keywords == ["happy", "picnic"]
