"""The profile-photo pipeline: a portrait in the chosen style."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

from consumers import styles
from consumers.gates import Role
from consumers.pipelines import Pipeline, Work
from jobs.model import Output


class PortraitInput(BaseModel):
    """What a portrait is asked to be; one of the two at the least."""

    model_config = ConfigDict(frozen=True)

    style: str | None = None
    prompt: str | None = None


async def run(work: Work, wish: PortraitInput) -> Output:
    """Edit the uploaded photo in the job's style."""
    photo = await work.load_photo()
    painting = await work.calling(0.25, "Developing the picture").paint(styles.compose(wish.style, wish.prompt), photo)
    return await work.store(painting)


PIPELINE: Final = Pipeline(name="profile-photo", input_model=PortraitInput, run=run, first_model=Role.IMAGE)
