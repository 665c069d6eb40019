"""The seam between the pool and the kinds of job: what a pipeline states of itself, and what it is given to work with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from consumers.failures import FailureClass, Then
from consumers.gate_state import NotNow
from consumers.gates import Gates, Role
from consumers.gemini import Gemini, GeminiConfig
from consumers.gemini_wire import Answer, CallFailed, Painting, Reading, Vector
from consumers.images import ImageWorker, Picture, inspect
from jobs.errors import InvalidImage, PermanentError, UploadNotFound
from jobs.events import Stage
from jobs.files import Files, Upload
from jobs.model import JSON, Job, ModelUse, Output
from jobs.work_queue import Delivery

_EXTENSIONS: Final = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
Share: TypeAlias = Annotated[
    float, Field(allow_inf_nan=False), AfterValidator(lambda number: round(min(max(number, 0.0), 1.0), 3))
]
"""What a model is asked to give from 0 to 1: brought there where it does not, and to as many digits as mean something."""
T = TypeVar("T")
Input = TypeVar("Input", bound=BaseModel)


class InvalidInput(PermanentError):
    """What this job was asked is not what its pipeline takes."""

    code = "invalid_input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is; ``partial`` is what its result has so far."""

    stage: Stage
    fraction: float
    message: str
    partial: Mapping[str, JSON] = field(default_factory=dict)


Report: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One job in hand and what a pipeline may use for it.

    ``report`` tells its owner how far it is; ``note_call`` hears of each call of a model that begins, and ``is_billed`` what
    its answer costs. ``keep`` is told by name what the next try need not ask for again. ``is_last_try``: if it fails now, it is
    not tried again; ``is_last_wait``: if it cannot be done now, it will not be.
    """

    job: Job
    files: Files
    images: ImageWorker
    gemini: Gemini
    report: Report
    note_call: Callable[[], None]
    is_billed: Callable[[ModelUse], None]
    keep: Callable[[str, JSON], None]
    is_last_try: bool = False
    is_last_wait: bool = False

    def tell(self, stage: Stage, fraction: float, message: str, partial: Mapping[str, JSON] | None = None) -> None:
        """Tell the owner how far it is, and what its result has so far: each telling replaces all before."""
        self.report(Progress(stage=stage, fraction=fraction, message=message, partial=partial or {}))

    def is_final(self, error: CallFailed | NotNow) -> bool:
        """Tell whether no other try of this job can bring what this call did not."""
        if isinstance(error, NotNow):
            return self.is_last_wait
        then = error.policy.then
        return then is Then.FAIL or (then is Then.REQUEUE and self.is_last_try)

    async def read_upload(self) -> Upload:
        """Fetch the job's upload as it is. Raises InvalidImage."""
        self.tell(Stage.DOWNLOADING, 0.05, "Fetching the photo")
        try:
            return await self.files.read_upload(self.job.input_url or "")
        except UploadNotFound as error:
            raise InvalidImage(error.message) from error

    async def load_photo(self) -> Picture:
        """Fetch the job's upload and make it ready for Gemini. Raises InvalidImage."""
        upload = await self.read_upload()
        self.tell(Stage.PREPARING, 0.15, "Preparing the photo")
        return await self.images.prepare(upload.content)

    def calling(self, fraction: float, message: str, partial: Mapping[str, JSON] | None = None) -> Calling:
        """Say what the owner is told when the next call of a model begins."""
        return Calling(
            work=self,
            progress=Progress(stage=Stage.GENERATING, fraction=fraction, message=message, partial=partial or {}),
        )

    async def store(
        self, painting: Painting, facts: Mapping[str, JSON] | None = None, *, link_as: str | None = None
    ) -> Output:
        """Keep the answer under the type its bytes have, whatever the model calls it. Raises CallFailed.

        ``facts`` are the result's; without any they describe the picture. ``link_as`` is as ``Output`` has it.
        """
        self.tell(Stage.STORING, 0.9, "Storing the picture", facts)
        try:
            picture = inspect(painting.content)
        except InvalidImage as error:
            raise CallFailed(FailureClass.UNUSABLE_ANSWER) from error
        return Output(
            url=await self.store_picture(picture),
            model_name=painting.model_name,
            generation_milliseconds=painting.milliseconds,
            facts=facts
            or {
                "contentType": picture.content_type,
                "width": picture.width,
                "height": picture.height,
                "bytes": len(picture.content),
            },
            link_as=link_as,
        )

    async def store_picture(self, picture: Picture) -> str:
        """Keep a picture as the job's result; returns its ``s3://bucket/key``."""
        writing = self.files.write_result(
            self.job.user_id,
            self.job.job_id,
            picture.content,
            content_type=picture.content_type,
            extension=_EXTENSIONS[picture.content_type],
        )
        # Whoever takes a result away must know that it comes no more.
        return await _to_the_end(writing)


async def _to_the_end(writing: Coroutine[Any, Any, T]) -> T:
    task = asyncio.create_task(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Calling:
    """One wish to a model on behalf of a job."""

    work: Work
    progress: Progress

    async def paint(self, prompt: str, photo: Picture | None = None) -> Painting:
        """Have the image model make a picture of the words, and of the photo if there is one. Raises CallFailed and NotNow."""
        return await self.work.gemini.paint(prompt, photo, self)

    async def ask(
        self,
        instruction: str,
        answer_model: type[Answer],
        *,
        photo: Picture | None = None,
        text: str = "",
        keep_as: str | None = None,
    ) -> Reading[Answer]:
        """Have the vision model look at the photo, or read the text, and answer in that form. Raises CallFailed and NotNow.

        With ``keep_as`` the answer is kept with the job under that name: another try does not ask, and pay, again.
        """
        kept = _read_kept(self.work.job.kept.get(keep_as or ""), answer_model)
        if kept is not None:
            return kept
        reading = await self.work.gemini.ask(instruction, answer_model, self, photo=photo, text=text)
        if keep_as is not None:
            self.work.keep(keep_as, _kept(reading))
        return reading

    async def embed(self, pictures: Iterable[Picture]) -> list[Vector]:
        """Return a vector for each picture. Raises CallFailed and NotNow."""
        return await self.work.gemini.embed(tuple(pictures), self)

    def call_begins(self) -> None:
        """Tell the owner that a model works on it, not before: until then a cancel is free."""
        self.work.note_call()
        self.work.report(self.progress)

    def is_billed(self, use: ModelUse) -> None:
        """Note what the answer costs."""
        self.work.is_billed(use)


def _kept(reading: Reading[Answer]) -> dict[str, JSON]:
    return {
        "answer": reading.answer.model_dump(mode="json"),
        "modelName": reading.model_name,
        "milliseconds": reading.milliseconds,
    }


def _read_kept(kept: Any, answer_model: type[Answer]) -> Reading[Answer] | None:
    """Read what was kept; None where there is nothing, or an older task has kept it in another form."""
    try:
        answer = answer_model.model_validate(kept["answer"])
        return Reading(answer=answer, model_name=kept["modelName"], milliseconds=kept["milliseconds"])
    except (TypeError, KeyError, ValidationError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline(Generic[Input]):
    """One kind of job: what it is called, what it is asked, how it is done, and what it costs of the day's quota.

    ``first_model`` is the one that its work begins with. ``input_model`` reads a job's parameters, style and prompt. ``run``
    raises InvalidImage and other PermanentErrors, CallFailed, NotNow, and TransientErrors; the pool does with each what
    ``consumers.failures`` says.
    """

    name: str
    input_model: type[Input]
    run: Callable[[Work, Input], Awaitable[Output]]
    first_model: Role
    units: int = 1

    async def do(self, work: Work) -> Output:
        """Run the job in hand. Raises InvalidInput."""
        return await self.run(work, self._read(work.job))

    def _read(self, job: Job) -> Input:
        asked = {**job.parameters, "style": job.style, "prompt": job.prompt}
        try:
            return self.input_model.model_validate({name: value for name, value in asked.items() if value is not None})
        except ValidationError:
            raise InvalidInput from None  # the error quotes what was asked


Pipelines: TypeAlias = Mapping[str, Pipeline]  # type: ignore[type-arg]  # each has an input of its own


def by_name(*pipelines: Pipeline) -> Pipelines:  # type: ignore[type-arg]  # as above
    """Register pipelines."""
    return {pipeline.name: pipeline for pipeline in pipelines}


def hold_up(pipelines: Pipelines, config: GeminiConfig, gates: Gates) -> Callable[[Delivery], float]:
    """Make the function that tells for how many seconds a delivery should make way, because the model it begins with is shut."""
    models = {name: config.model_of(pipeline.first_model) for name, pipeline in pipelines.items()}

    def seconds(delivery: Delivery) -> float:
        model = models.get(delivery.pipeline or "")
        return gates.hold_up_seconds(model) if model else 0

    return seconds
