"""The profile-photo pipeline: a portrait in the chosen style, cut to the chosen format."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pydantic import BaseModel, ConfigDict

from consumers import framing, styles
from consumers.failures import FailureClass
from consumers.framing import PhotoFormat
from consumers.gates import Role
from consumers.gemini_wire import CallFailed, Painting
from consumers.pipelines import Pipeline, Work
from jobs.errors import InvalidImage
from jobs.model import Output


class PortraitInput(BaseModel):
    """What a portrait is asked to be; style or prompt at the least. ``background`` is as ``styles.colour_of`` takes it."""

    model_config = ConfigDict(frozen=True)

    style: str | None = None
    prompt: str | None = None
    format: PhotoFormat | None = None
    background: str | None = None


async def run(work: Work, wish: PortraitInput) -> Output:
    """Edit the uploaded photo in the job's style, and cut what comes of it."""
    photo = await work.load_photo()
    painting = await work.calling(0.25, "Developing the picture").paint(_words(wish), photo)
    return await work.store(await _framed(work, painting, wish.format or PhotoFormat.ORIGINAL))


def _words(wish: PortraitInput) -> str:
    return styles.compose(
        wish.style,
        wish.prompt,
        background=wish.background,
        framing=framing.words_for(wish.format or PhotoFormat.ORIGINAL),
    )


async def _framed(work: Work, painting: Painting, photo_format: PhotoFormat) -> Painting:
    """Cut the picture, whatever the model has made of being asked to."""
    if photo_format is PhotoFormat.ORIGINAL:
        return painting
    try:
        content = await work.images.run(lambda: framing.cut(painting.content, photo_format))
    except InvalidImage as error:
        raise CallFailed(FailureClass.UNUSABLE_ANSWER) from error
    return replace(painting, content=content)


PIPELINE: Final = Pipeline(name="profile-photo", input_model=PortraitInput, run=run, first_model=Role.IMAGE)
