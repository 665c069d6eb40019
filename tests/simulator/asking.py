"""Questions as the service asks them: a photo or words, a schema, and the answer read back."""

from typing import Final, TypeVar

from google import genai
from google.genai import types
from pydantic import BaseModel

from tests.simulator.photos import message

VISION: Final = "gemini-3.5-flash-lite"
EMBEDDING: Final = "gemini-embedding-2"

Answer = TypeVar("Answer", bound=BaseModel)


def photo_part(photo: bytes) -> types.Part:
    """Wrap a JPEG as the SDK sends it."""
    return types.Part.from_bytes(data=photo, mime_type="image/jpeg")


async def ask(client: genai.Client, answer: type[Answer], *parts: types.Part | str) -> Answer:
    """Ask for an answer by its JSON schema and read it."""
    response = await client.aio.models.generate_content(
        model=VISION,
        contents=message(*parts),
        config=types.GenerateContentConfig(
            response_mime_type="application/json", response_json_schema=answer.model_json_schema()
        ),
    )
    return answer.model_validate_json(response.text or "")


async def embed(client: genai.Client, *contents: types.Part | str) -> list[list[float]]:
    """Return one vector per content."""
    answer = await client.aio.models.embed_content(
        model=EMBEDDING,
        contents=[message(content) for content in contents],
        config=types.EmbedContentConfig(output_dimensionality=768),
    )
    return [embedding.values or [] for embedding in answer.embeddings or []]


def cosine(first: list[float], second: list[float]) -> float:
    """Return the cosine of two vectors of length 1."""
    return sum(a * b for a, b in zip(first, second, strict=True))
