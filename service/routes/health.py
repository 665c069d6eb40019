"""Whether the process lives, whether it wants requests, and what is wrong with it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from jobs import clock, conditions
from jobs.conditions import Degradation
from jobs.model import JSON
from service import keys
from service.errors import NotReady
from service.readiness import State


async def live(_: web.Request) -> web.Response:
    """Answer as long as the loop turns: no dependency can make a load balancer kill a healthy task."""
    return web.json_response({"status": "healthy"})


async def ready(request: web.Request) -> web.Response:
    """Answer 200 only between start and drain; what a busy Gemini holds up is named, and no reason to take the task away."""
    services = request.app[keys.SERVICES]
    state = services.readiness.state
    if state is not State.READY:
        raise NotReady(f"This task is {state.value}")
    degraded = [_degraded(degradation) for degradation in services.conditions.current()]
    return web.json_response({"status": state.value} | ({"degraded": degraded} if degraded else {}))


def _degraded(degradation: Degradation) -> dict[str, JSON]:
    return conditions.view(degradation) | {"since": clock.iso(degradation.since)}


ROUTES: Final = (web.get("/healthz", live), web.get("/readyz", ready))
