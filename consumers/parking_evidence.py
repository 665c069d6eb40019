"""What speaks for a parking report: its own copies of the two crops, and how alike their backgrounds are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from consumers.backgrounds import Scene
from consumers.gemini_wire import CallFailed
from consumers.parking_comparison import BoxInput, CropInput, compare, read_scene
from consumers.pipelines import Work
from jobs import parking
from jobs.errors import InvalidImage
from jobs.parking import Evidence, Pair, Sighting
from jobs.parking_reports import Compare


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exhibit:
    """A crop to compare, and the ``s3://`` of the report's copy of it; neither where the crop is gone."""

    scene: Scene | None = None
    copy: str | None = None


def finding(work: Work) -> Compare:
    """Make the function that compares two sightings on behalf of a job. It raises CallFailed, NotNow and CloudUnavailable."""

    async def find(pair: Pair, copies: Mapping[str, str]) -> Evidence:
        report_id = parking.report_id_of(pair.first.place_plate)
        first, last = [await _exhibit(work, report_id, sighting, copies.get(sighting.photo)) for sighting in pair]
        return Evidence(similarity=await _similarity(work, first, last), first_copy=first.copy, last_copy=last.copy)

    return find


async def _exhibit(work: Work, report_id: str, sighting: Sighting, copy: str | None) -> _Exhibit:
    """Read the crop, or the report's copy of it where it is gone; and copy it, if there is no copy yet."""
    vehicle = _box_of(sighting)
    for url in filter(None, (sighting.cropped_url, copy)):
        try:
            scene = await read_scene(work, CropInput(url=url, vehicle=vehicle))
            return _Exhibit(scene=scene, copy=copy or await _copy(work, report_id, sighting.photo, scene))
        except InvalidImage:
            continue
    return _Exhibit()


async def _copy(work: Work, report_id: str, photo: str, scene: Scene) -> str:
    """Keep a crop for the report: drawn anew, because the other owner sees it, and apart, because its job may be deleted."""
    picture = await work.images.prepare(scene.content)
    return await work.files.write_evidence(report_id, photo, picture.content)


async def _similarity(work: Work, first: _Exhibit, last: _Exhibit) -> float | None:
    """Return None where nothing can be compared, at least not now.

    The job is not failed for it: the sighting is kept already, and with a failed job its crop would go.
    """
    if first.scene is None or last.scene is None:
        return None
    try:
        return await compare(work, first.scene, last.scene)
    except InvalidImage:
        return None
    except CallFailed as error:
        if work.is_final(error):
            return None
        raise


def _box_of(sighting: Sighting) -> BoxInput | None:
    box = sighting.vehicle_in_crop
    return BoxInput.model_validate(asdict(box)) if box else None
