"""The profile-photo pipeline: a portrait in the chosen style."""

from __future__ import annotations

from typing import Final

from consumers import styles
from consumers.pipelines import Work
from jobs.events import Stage
from jobs.model import Output

NAME: Final = "profile-photo"


async def run(work: Work) -> Output:
    """Edit the uploaded photo in the job's style."""
    photo = await work.load_photo()
    work.report(Stage.GENERATING, 0.25, "Developing the picture")
    painting = await work.gemini.edit(styles.compose(work.job.style, work.job.prompt), photo)
    return await work.store(painting)
