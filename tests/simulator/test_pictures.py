"""Image answers: what comes back, and that the photo that was given is in it."""

import io

import pytest
from google import genai
from google.genai import types
from PIL import Image, ImageChops, ImageStat

from tests.simulator.photos import encode, message, portrait

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL = "gemini-nano-banana-2.1"
IMAGE_ONLY = types.GenerateContentConfig(response_modalities=["IMAGE"])


def picture_of(response: types.GenerateContentResponse) -> tuple[str, Image.Image]:
    """Return the answer's MIME type and its picture, as the service reads them."""
    blob = next(part.inline_data for part in reversed(response.parts or []) if part.inline_data and not part.thought)
    return blob.mime_type or "", Image.open(io.BytesIO(blob.data or b""))


async def edit(client: genai.Client, prompt: str, photo: Image.Image, **config: object) -> Image.Image:
    """Ask for a restyled photo and return it."""
    answer = await client.aio.models.generate_content(
        model=MODEL,
        contents=message(encode(photo), prompt),
        config=IMAGE_ONLY.model_copy(update=config),
    )
    return picture_of(answer)[1].convert("RGB")


def difference(first: Image.Image, second: Image.Image) -> float:
    """Return the mean distance of two pictures' pixels, 0 … 255."""
    pixels = ImageChops.difference(first.resize((64, 64)), second.resize((64, 64)))
    return sum(ImageStat.Stat(pixels).mean) / 3


async def test_edited_photo_comes_back_as_png_of_its_size(gemini: genai.Client) -> None:
    """An image edit answers STOP with one PNG and the counts of its tokens."""
    answer = await gemini.aio.models.generate_content(
        model=MODEL, contents=message(encode(portrait()), "An outdoor portrait."), config=IMAGE_ONLY
    )
    mime_type, picture = picture_of(answer)

    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert (mime_type, picture.format, picture.size) == ("image/png", "PNG", (240, 300))
    assert answer.usage_metadata
    assert answer.usage_metadata.candidates_token_count == 1120
    assert answer.model_version == MODEL


async def test_jpeg_marker_makes_a_jpeg(gemini: genai.Client) -> None:
    """The real models answer with JPEG now and then; so does the simulator when told."""
    answer = await gemini.aio.models.generate_content(
        model=MODEL, contents=message(encode(portrait()), "A portrait. [[sim:jpeg]]"), config=IMAGE_ONLY
    )
    mime_type, picture = picture_of(answer)

    assert (mime_type, picture.format) == ("image/jpeg", "JPEG")


async def test_large_photo_comes_back_within_1024_pixels(gemini: genai.Client) -> None:
    """A 1K answer has no side above 1024 pixels."""
    assert max((await edit(gemini, "A professional headshot.", portrait(width=1600))).size) == 1024


async def test_equal_requests_get_equal_answers(gemini: genai.Client) -> None:
    """The same model, prompt, photo and seed give the same bytes and id; another seed gives others."""
    answers = [
        await gemini.aio.models.generate_content(
            model=MODEL,
            contents=message(encode(portrait()), "A formal interview portrait."),
            config=IMAGE_ONLY.model_copy(update={"seed": seed}),
        )
        for seed in (1, 1, 2)
    ]
    pixels = [picture_of(answer)[1].tobytes() for answer in answers]

    assert pixels[0] == pixels[1]
    assert answers[0].response_id == answers[1].response_id
    assert pixels[0] != pixels[2]


async def test_styles_look_different_and_photos_shine_through(gemini: genai.Client) -> None:
    """Two styles of one photo differ, and so does one style of two photos."""
    warm = await edit(gemini, "A warm, friendly expert.", portrait())
    announcer = await edit(gemini, "A broadcast announcer.", portrait())
    other_person = await edit(gemini, "A warm, friendly expert.", portrait().rotate(180))

    assert difference(warm, announcer) > 15
    assert difference(warm, other_person) > 15


async def test_aspect_ratio_is_obeyed(gemini: genai.Client) -> None:
    """A wished aspect ratio crops the photo."""
    picture = await edit(gemini, "A portrait.", portrait(), image_config=types.ImageConfig(aspect_ratio="1:1"))

    assert picture.size == (240, 240)


async def test_picture_is_painted_when_no_photo_is_given(gemini: genai.Client) -> None:
    """A prompt alone gets a picture too, bright or dark with its mood."""
    pictures = []
    for text in ("A happy, wonderful day full of love", "나는 슬펐다. 눈물이 났다."):
        answer = await gemini.aio.models.generate_content(model=MODEL, contents=text, config=IMAGE_ONLY)
        pictures.append(picture_of(answer)[1].convert("RGB"))

    assert [picture.size for picture in pictures] == [(1024, 1024)] * 2
    assert ImageStat.Stat(pictures[0].convert("L")).mean[0] > ImageStat.Stat(pictures[1].convert("L")).mean[0]


async def test_stream_sends_a_thought_then_the_whole_picture(gemini: genai.Client) -> None:
    """A stream has thoughts only when they are asked for, and never half a picture."""
    config = types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"], thinking_config=types.ThinkingConfig(include_thoughts=True)
    )
    stream = await gemini.aio.models.generate_content_stream(
        model=MODEL, contents=message(encode(portrait()), "A portrait."), config=config
    )
    chunks = [chunk async for chunk in stream]

    assert chunks[0].parts
    assert chunks[0].parts[0].thought
    assert picture_of(chunks[-1])[1].size == (240, 300)
    assert chunks[-1].usage_metadata
