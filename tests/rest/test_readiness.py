"""What the load balancer is told of a service that is not well."""

from __future__ import annotations

import pytest

from jobs import clock
from jobs.conditions import Degradation
from tests.rest.api import Api

pytestmark = pytest.mark.asyncio(loop_scope="session")

AWAY = Degradation(part="gemini:a-model", condition="open", reason="It is away.", retry_after_seconds=20, since=0)


async def test_a_degraded_task_stays_ready_and_says_what_is_wrong(api: Api) -> None:
    """It serves all but Gemini's part, and another task would not do better; nobody has to sign in to see it."""
    api.services.readiness.ready()
    well = await api.get("/readyz", token="")
    api.services.conditions.report(AWAY.part, AWAY)
    degraded = await api.get("/readyz", token="")
    (told,) = degraded.body["degraded"]

    assert (200, {"status": "ready"}) == (well.status, well.body)
    assert (200, "ready") == (degraded.status, degraded.body["status"])
    assert told == {
        "part": "gemini:a-model",
        "condition": "open",
        "reason": "It is away.",
        "retryAfterSeconds": 20,
        "since": clock.iso(0),
    }


async def test_a_degraded_task_that_leaves_is_not_ready(api: Api) -> None:
    """Starting and draining go first."""
    api.services.conditions.report(AWAY.part, AWAY)
    starting = await api.get("/readyz", token="")
    api.services.readiness.ready()
    api.services.readiness.drain()
    draining = await api.get("/readyz", token="")

    assert (503, "not_ready") == starting.error == draining.error
