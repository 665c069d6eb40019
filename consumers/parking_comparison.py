"""The parking-comparison pipeline: whether two crops show one place. What a parking report needs of it is here, too."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from consumers import backgrounds
from consumers.backgrounds import Scene
from consumers.boxes import Box
from consumers.gates import Role
from consumers.pipelines import Pipeline, Work
from jobs.errors import InvalidImage, UploadNotFound
from jobs.events import Stage
from jobs.files import MAX_UPLOAD_BYTES
from jobs.model import Output


class CamelInput(BaseModel):
    """Parameters with camelCase names."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class BoxInput(CamelInput):
    """A box in whole pixels."""

    x: int
    y: int
    width: int
    height: int

    def box(self) -> Box:
        """Return it as the house has boxes."""
        return Box(x=self.x, y=self.y, width=self.width, height=self.height)


class CropInput(CamelInput):
    """A crop, as ``s3://bucket/key``, and where the vehicle is in it, if that is known."""

    url: str
    vehicle: BoxInput | None = None


class ComparisonInput(CamelInput):
    """The two crops, and the report that both belong to, if there is one."""

    first: CropInput
    second: CropInput
    report_id: str | None = None


async def run(work: Work, wish: ComparisonInput) -> Output:
    """Compare what is behind the vehicles."""
    work.tell(Stage.DOWNLOADING, 0.05, "Fetching the crops")
    similarity = await compare(work, await read_scene(work, wish.first), await read_scene(work, wish.second))
    report = {"reportId": wish.report_id} if wish.report_id else {}
    return Output(
        url=None, model_name="", generation_milliseconds=0, facts={"similarity": similarity, **report}, pictures=0
    )


async def compare(work: Work, first: Scene, second: Scene) -> float:
    """Return 0 … 1. Raises InvalidImage for a crop that is unreadable, CallFailed and NotNow."""
    calling = work.calling(0.75, "Comparing the backgrounds")
    return await backgrounds.similarity(first, second, work.images, calling.embed)


async def read_scene(work: Work, crop: CropInput) -> Scene:
    """Fetch a crop. Raises InvalidImage for one that is gone."""
    try:
        content = await work.files.read(crop.url, max_bytes=MAX_UPLOAD_BYTES)
    except UploadNotFound as error:
        raise InvalidImage("A crop is not there any more.") from error
    return Scene(content=content, vehicle=crop.vehicle.box() if crop.vehicle else None)


PIPELINE: Final = Pipeline(name="parking-comparison", input_model=ComparisonInput, run=run, first_model=Role.EMBEDDING)
