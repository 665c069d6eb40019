"""Reports of parked cars over REST: what each owner sees of one, and the pages of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from jobs.ids import UserId, new_job_id
from jobs.parking import Evidence, Pair, Report, Sighting, photo_of
from tests.rest.api import Api

pytestmark = pytest.mark.asyncio(loop_scope="session")

NINE, SIX_PAST, TEN = "2026-11-20 09:00:00", "2026-11-20 09:06:00", "2026-11-20 10:00:00"
COMMON = {
    "reportId",
    "version",
    "plateString",
    "latitude",
    "longitude",
    "firstCaptureTime",
    "lastCaptureTime",
    "reportBool",
    "createdAt",
    "updatedAt",
}
FIRST, LAST = {"firstDeviceId", "firstImageUrl"}, {"lastDeviceId", "lastImageUrl"}


def sighting(user: UserId, plate: str, time: str) -> Sighting:
    """See a car."""
    job_id = new_job_id()
    return Sighting(
        user_id=user,
        job_id=job_id,
        photo=photo_of(job_id.encode()),
        device_id=f"phone of {user}",
        plate=plate,
        latitude=Decimal("37.56659"),
        longitude=Decimal("-126.97801"),
        capture_time=time,
        image_url=f"s3://uploads/reports/{user}/phone/{job_id}.jpg",
        cropped_url=f"s3://results/generated/{user}/{job_id}.jpg",
    )


async def report(api: Api, *sightings: Sighting, copies: tuple[str | None, str | None] | None = None) -> Report:
    """Have sightings reported."""

    async def compare(pair: Pair, _: Mapping[str, str]) -> Evidence:
        urls = [f"s3://{api.result_bucket}/evidence/report/{one.photo}.jpg" for one in pair]
        first, last = copies or urls
        similarity = 0.93 if first and last else None
        return Evidence(similarity=similarity, first_copy=first, last_copy=last)

    made = [await api.services.parking_reports.record(one, compare, 0.8) for one in sightings][-1]
    assert made is not None
    return made


async def test_a_report_is_shown_to_its_owner(api: Api) -> None:
    """With all that is known of it, alone and in the list."""
    plate = f"{uuid4()}"
    first, last = [sighting(api.user, plate, time) for time in (NINE, SIX_PAST)]
    made = await report(api, first, last)
    shown, listed = await api.get(f"/reports/{made.report_id}"), await api.get("/reports")
    view = dict(shown.body)
    crops = [view.pop(name) for name in ("firstCroppedUrl", "secondCroppedUrl")]

    assert 200 == shown.status
    assert COMMON | FIRST | LAST | {"similarity"} == view.keys()
    assert (made.report_id, 1, first.plate, 37.5665, -126.978, NINE, SIX_PAST, 0.93, True) == tuple(
        view[name]
        for name in (
            "reportId",
            "version",
            "plateString",
            "latitude",
            "longitude",
            "firstCaptureTime",
            "lastCaptureTime",
            "similarity",
            "reportBool",
        )
    )
    assert (first.device_id, first.image_url) == (view["firstDeviceId"], view["firstImageUrl"])
    assert (last.device_id, last.image_url) == (view["lastDeviceId"], view["lastImageUrl"])
    assert all("X-Amz-Signature=" in crop for crop in crops)
    assert [one.photo in crop for one, crop in zip((first, last), crops, strict=True)] == [True, True]
    assert {"reports": [shown.body]} == listed.body


async def test_nothing_of_a_report_tells_who_the_other_owner_is(api: Api, as_other: Callable[[], Api]) -> None:
    """Neither the user's name nor the device, nor where the photo and its first crop lie; each sees his own."""
    plate, other = f"{uuid4()}", replace(as_other(), user=UserId("somebody"))
    made = await report(api, sighting(other.user, plate, NINE), sighting(api.user, plate, SIX_PAST))
    [mine, others] = [await one.get(f"/reports/{made.report_id}") for one in (api, other)]

    assert (COMMON | LAST, COMMON | FIRST) == tuple(
        answer.body.keys() - {"similarity", "firstCroppedUrl", "secondCroppedUrl"} for answer in (mine, others)
    )
    assert other.user not in str(mine.body)
    assert api.user not in str(others.body)
    assert not any("generated/" in str(answer.body) for answer in (mine, others))


@pytest.mark.parametrize(
    ("copies", "present"),
    [
        (("s3://b/1.jpg", None), {"firstCroppedUrl"}),
        ((None, "s3://b/2.jpg"), {"secondCroppedUrl"}),
        ((None, None), set()),
    ],
)
async def test_a_crop_that_is_gone_is_absent(
    api: Api, copies: tuple[str | None, str | None], present: set[str]
) -> None:
    """And so is how alike they are."""
    plate = f"{uuid4()}"
    made = await report(api, sighting(api.user, plate, NINE), sighting(api.user, plate, SIX_PAST), copies=copies)
    body = (await api.get(f"/reports/{made.report_id}")).body

    assert COMMON | FIRST | LAST | present == body.keys()
    assert body["reportBool"] is False


async def test_anothers_report_is_not_found(api: Api, as_other: Callable[[], Api]) -> None:
    """Nor one that never was; a stranger without a token is told to show one."""
    plate, other = f"{uuid4()}", as_other()
    made = await report(api, *[sighting(api.user, plate, time) for time in (NINE, SIX_PAST)])
    answers = [await other.get(f"/reports/{report_id}") for report_id in (made.report_id, f"report_{'0' * 32}", "x")]
    strangers = [await api.get(path, token="") for path in ("/reports", f"/reports/{made.report_id}")]

    assert [(404, "report_not_found")] * 3 == [answer.error for answer in answers]
    assert {"reports": []} == (await other.get("/reports")).body
    assert [(401, "unauthorized")] * 2 == [answer.error for answer in strangers]


async def test_reports_come_in_pages_the_newest_first(api: Api, as_other: Callable[[], Api]) -> None:
    """Each once; a cursor opens nobody else's."""
    made = []
    for _ in range(3):
        plate = f"{uuid4()}"
        made.append((await report(api, *[sighting(api.user, plate, time) for time in (NINE, TEN)])).report_id)
    first = (await api.get("/reports?limit=2")).body
    second = (await api.get("/reports", params={"limit": 2, "cursor": first["nextCursor"]})).body
    foreign = await as_other().get("/reports", params={"cursor": first["nextCursor"]})

    assert sorted(made) == sorted(_ids(first) + _ids(second))
    assert (2, 1, {"reports"}) == (len(_ids(first)), len(_ids(second)), second.keys())
    created = [one["createdAt"] for one in [*first["reports"], *second["reports"]]]
    assert sorted(created, reverse=True) == created
    assert {"reports": []} == foreign.body


@pytest.mark.parametrize(
    ("query", "field"), [({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"cursor": "x"}, "cursor")]
)
async def test_a_page_that_cannot_be_is_refused(api: Api, query: dict[str, Any], field: str) -> None:
    """With the field to blame."""
    answer = await api.get("/reports", params=query)

    assert (400, "invalid_request", field) == (*answer.error, answer.body["field"])


def _ids(page: Any) -> list[str]:
    return [one["reportId"] for one in page["reports"]]
