"""Whether the process lives, whether it wants requests, and what is wrong with it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from jobs import clock, conditions
from jobs.conditions import Degradation
from jobs.model import JSON
from service import keys
from service.errors import NotReady
from service.openapi import answers
from service.openapi.operations import Tag, operation
from service.readiness import State, is_cut_off


@operation("isAlive", Tag.HEALTH, {200: answers.Alive})
async def live(request: web.Request) -> web.Response:
    """Answer as long as the loop turns: no dependency can make a load balancer kill a healthy task."""
    release = request.app[keys.SETTINGS].release
    return web.json_response({"status": "healthy"} | ({"release": release} if release else {}))


@operation("isReady", Tag.HEALTH, {200: answers.Ready}, raises=(NotReady,))
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


@operation("checkHealth", Tag.HEALTH, {200: answers.Health})
async def health(request: web.Request) -> web.Response:
    """Tell what the originals' health checks ask."""
    return web.json_response(health_view(request))


def health_view(request: web.Request) -> dict[str, JSON]:
    """Say it in the originals' words; the model counts as loaded while Gemini is not cut off."""
    model = request.app[keys.SETTINGS].vision_model_name
    loaded = not is_cut_off(request.app[keys.SERVICES].conditions, model)
    return {"status": "healthy", "message": "AI server is running", "model_loaded": loaded}


ROUTES: Final = (web.get("/healthz", live), web.get("/readyz", ready), web.get("/health", health))
