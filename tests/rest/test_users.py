"""The caller."""

from __future__ import annotations

import pytest

from jobs.ids import JobId
from tests.rest.api import Api, complete

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_caller_has_every_field_of_the_original(api: Api) -> None:
    """The row is made at the first call, with what the token tells."""
    token = api.issuer.id_token(api.user, email="alice@example.com", name="앨리스")
    answer = await api.get("/user/me", token=token)
    me = answer.body

    assert answer.status == 200
    assert me.pop("createdAt") == me.pop("lastLoginAt")
    assert me.pop("quotaResetsAt").endswith("T00:00:00.000Z")
    assert {
        "userId": api.user,
        "email": "alice@example.com",
        "displayName": "앨리스",
        "profileImage": "",
        "provider": "Cognito",
        "dailyLimit": 10,
        "remainingQuota": 10,
        "usedToday": 0,
        "totalImages": 0,
    } == me


async def test_the_caller_sees_what_was_used_and_made(api: Api) -> None:
    """A completed job counts in both."""
    job_id = JobId(await api.started())
    await complete(api.services.jobs, await api.services.jobs.get(job_id))
    me = (await api.get("/user/me")).body

    assert (me["remainingQuota"], me["usedToday"], me["totalImages"]) == (9, 1, 1)
