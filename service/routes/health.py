"""Whether the process lives, and whether it wants requests."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from service import keys
from service.errors import NotReady
from service.readiness import State


async def live(_: web.Request) -> web.Response:
    """Answer as long as the loop turns: no dependency can make a load balancer kill a healthy task."""
    return web.json_response({"status": "healthy"})


async def ready(request: web.Request) -> web.Response:
    """Answer 200 only between start and drain."""
    state = request.app[keys.SERVICES].readiness.state
    if state is not State.READY:
        raise NotReady(f"This task is {state.value}")
    return web.json_response({"status": state.value})


ROUTES: Final = (web.get("/healthz", live), web.get("/readyz", ready))
