"""The profile-photo pipeline: a portrait in the chosen style."""

from __future__ import annotations

from typing import Final

from consumers import styles
from consumers.pipelines import Work
from jobs.model import Output

NAME: Final = "profile-photo"


async def run(work: Work) -> Output:
    """Edit the uploaded photo in the job's style."""
    photo = await work.load_photo()
    painting = await work.paint(styles.compose(work.job.style, work.job.prompt), photo)
    return await work.store(painting)
