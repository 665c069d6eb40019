"""Looking at jobs: one's own, and not those of others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs.ids import JobId
from tests.rest.api import Api, complete

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_job_is_shown_to_its_owner(api: Api) -> None:
    """With the original's names, a signed link to the upload, and nothing that does not apply."""
    job_id = await api.started()
    answer = await api.get(f"/jobs/{job_id}")
    job = answer.body

    assert answer.status == 200
    assert (job_id, api.user, "profile-photo") == (job["jobId"], job["userId"], job["pipeline"])
    assert (job["status"], job["terminal"], job["version"], job["attempt"]) == ("queued", False, 2, 0)
    assert job["inputImageUrl"].startswith("s3://")
    assert job["inputImageSignedUrl"].startswith("http")
    assert not {"outputImageUrl", "result", "metadata", "processingTime", "error", "failure"} & job.keys()


async def test_a_completed_job_has_its_result_and_a_download_link(api: Api) -> None:
    """The link makes a browser save a file."""
    job_id = JobId(await api.started())
    await complete(api.services.jobs, await api.services.jobs.get(job_id))
    job = (await api.get(f"/jobs/{job_id}")).body
    download = await api.get(f"/jobs/{job_id}/download")

    assert (job["status"], job["terminal"]) == ("completed", True)
    assert job["outputImageUrl"].startswith("http")
    assert f"generated/{api.user}/{job_id}.png" == job["metadata"]["outputKey"]
    assert (200, 3600, job_id) == (download.status, download.body["expiresIn"], download.body["jobId"])
    assert f"{job_id}.png" in download.body["downloadUrl"]


async def test_there_is_no_download_before_the_end(api: Api) -> None:
    """The sentence is the original's."""
    answer = await api.get(f"/jobs/{await api.started()}/download")

    assert answer.error == (400, "job_not_completed")
    assert answer.body["error"] == "Job not completed yet"


@pytest.mark.parametrize("path", ["/jobs/{job_id}", "/jobs/{job_id}/download"])
async def test_another_users_job_is_forbidden(api: Api, as_other: Callable[[], Api], path: str) -> None:
    """And nothing of it is told."""
    job_id = await as_other().started()
    answer = await api.get(path.format(job_id=job_id))

    assert answer.error == (403, "forbidden")
    assert {"error", "code", "requestId"} == answer.body.keys()


@pytest.mark.parametrize(
    "job_id", ["job_000000000000aaaaaaaaaaaaaaaa", "7", "job_" + "a" * 3000, "job_%00", "job_%F0%9F%93%B7"]
)
async def test_an_unknown_job_is_not_found(api: Api, job_id: str) -> None:
    """Whatever the id looks like."""
    answer = await api.get(f"/jobs/{job_id}")

    assert answer.error == (404, "job_not_found")


async def test_jobs_are_paged_newest_first(api: Api) -> None:
    """Both lists go through all jobs, each with its own name for the place to go on."""
    started = [await api.started() for _ in range(3)]
    first = (await api.get("/jobs?limit=2")).body
    second = (await api.get("/jobs", params={"limit": 2, "cursor": first["nextCursor"]})).body
    original_first = (await api.get("/user/jobs?limit=2")).body
    original_second = (
        await api.get("/user/jobs", params={"limit": "2", "nextToken": original_first["nextToken"], "status": "all"})
    ).body

    assert started[::-1] == [job["jobId"] for job in first["jobs"] + second["jobs"]]
    assert "nextCursor" not in second
    assert started[::-1] == [job["jobId"] for job in original_first["jobs"] + original_second["jobs"]]
    assert (original_first["total"], original_first["limit"], original_first["hasMore"]) == (2, 2, True)
    assert (original_second["total"], original_second["hasMore"], original_second["nextToken"]) == (1, False, None)


async def test_jobs_are_filtered_by_status(api: Api) -> None:
    """A status keeps its jobs only."""
    waiting, finished = await api.started(), JobId(await api.started())
    await complete(api.services.jobs, await api.services.jobs.get(finished))

    for status, expected in [("queued", [waiting]), ("completed", [finished]), ("failed", [])]:
        answer = await api.get("/jobs", params={"status": status})
        assert expected == [job["jobId"] for job in answer.body["jobs"]]


async def test_others_jobs_are_not_listed(api: Api, as_other: Callable[[], Api]) -> None:
    """Not even with their cursor."""
    other = as_other()
    for _ in range(2):
        await other.started()
    cursor = (await other.get("/jobs?limit=1")).body["nextCursor"]

    assert (await api.get("/jobs")).body["jobs"] == []
    assert all(job["userId"] == api.user for job in (await api.get("/jobs", params={"cursor": cursor})).body["jobs"])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/jobs?limit=0", "limit"),
        ("/jobs?limit=101", "limit"),
        ("/jobs?limit=many", "limit"),
        ("/jobs?status=finished", "status"),
        ("/jobs?cursor=nonsense", "cursor"),
        ("/jobs?cursor=W10", "cursor"),
        ("/user/jobs?limit=101", "limit"),
        ("/user/jobs?nextToken=nonsense", "nextToken"),
    ],
)
async def test_a_wrong_query_is_told_by_field(api: Api, path: str, field: str) -> None:
    """As in bodies."""
    answer = await api.get(path)

    assert (400, "invalid_request", field) == (*answer.error, answer.body["field"])
