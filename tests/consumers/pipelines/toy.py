"""The toy pipeline: a dream is painted, in one module as any other. It is here to show that no more is needed."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from consumers.gates import Role
from consumers.pipelines import Pipeline, Work
from jobs.model import Output


class Dream(BaseModel):
    """What was dreamt, and how vividly, 1 to 5."""

    model_config = ConfigDict(frozen=True)

    dream: str = Field(min_length=1)
    vividness: int = Field(default=3, ge=1, le=5)


class _Meaning(BaseModel):
    label: str
    score: float


async def run(work: Work, wish: Dream) -> Output:
    """Ask what the dream means, and paint it."""
    reading = await work.calling(0.2, "Dreaming").ask("Read the dream.", _Meaning, text=wish.dream)
    prompt = f"Paint this dream, vividness {wish.vividness}: {wish.dream}"
    painting = await work.calling(0.5, "Painting the dream").paint(prompt)
    return await work.store(painting, {"meaning": reading.answer.label, "vividness": wish.vividness})


PIPELINE: Final = Pipeline(name="toy", input_model=Dream, run=run, first_model=Role.VISION, units=2)
