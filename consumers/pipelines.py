"""The seam between the pool and the kinds of job: a pipeline is one async function from its work to an output."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from consumers.failures import FailureClass
from consumers.gemini import CallFailed, Gemini, Painting
from consumers.images import ImageWorker, Picture, inspect
from jobs.errors import InvalidImage, UploadNotFound
from jobs.events import Stage
from jobs.files import MAX_UPLOAD_BYTES, Files
from jobs.model import Job, ModelUse, Output

_EXTENSIONS: Final = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
T = TypeVar("T")
Report: TypeAlias = Callable[[Stage, float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One job in hand and what a pipeline may use for it.

    ``report(stage, fraction, message)`` tells its owner how far it is; ``note_call`` hears of each call of a model that
    begins, and ``is_billed`` what its answer costs.
    """

    job: Job
    files: Files
    images: ImageWorker
    gemini: Gemini
    report: Report
    note_call: Callable[[], None]
    is_billed: Callable[[ModelUse], None]

    async def load_photo(self) -> Picture:
        """Fetch the job's upload and make it ready for Gemini. Raises InvalidImage."""
        self.report(Stage.DOWNLOADING, 0.05, "Fetching the photo")
        try:
            upload = await self.files.read(self.job.input_url or "", max_bytes=MAX_UPLOAD_BYTES)
        except UploadNotFound as error:
            raise InvalidImage(error.message) from error
        self.report(Stage.PREPARING, 0.15, "Preparing the photo")
        return await self.images.prepare(upload)

    async def paint(self, prompt: str, photo: Picture) -> Painting:
        """Have the image model make a picture of the photo and the words. Raises CallFailed and NotNow."""
        return await self.gemini.edit(prompt, photo, self)

    def call_begins(self) -> None:
        """Tell the owner that the model works on it, not before: until then a cancel is free."""
        self.note_call()
        self.report(Stage.GENERATING, 0.25, "Developing the picture")

    async def store(self, painting: Painting) -> Output:
        """Keep the answer under the type its bytes have, whatever the model calls it. Raises CallFailed."""
        self.report(Stage.STORING, 0.9, "Storing the picture")
        try:
            picture = inspect(painting.content)
        except InvalidImage as error:
            raise CallFailed(FailureClass.UNUSABLE_ANSWER) from error
        url = await _unstoppable(
            self.files.write_result(
                self.job.user_id,
                self.job.job_id,
                picture.content,
                content_type=picture.content_type,
                extension=_EXTENSIONS[picture.content_type],
            )
        )
        return Output(
            url=url,
            model_name=painting.model_name,
            generation_milliseconds=painting.milliseconds,
            facts={
                "contentType": picture.content_type,
                "width": picture.width,
                "height": picture.height,
                "bytes": len(picture.content),
            },
        )


async def _unstoppable(writing: Coroutine[Any, Any, T]) -> T:
    """Await to the end even when canceled: whoever takes a result away must know that it comes no more."""
    task = asyncio.create_task(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


Pipeline: TypeAlias = Callable[[Work], Awaitable[Output]]
Pipelines: TypeAlias = Mapping[str, Pipeline]
