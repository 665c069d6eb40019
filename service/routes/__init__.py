"""The routes: one module per resource, and the one list that says which of them need no token."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from service import keys
from service.routes import demo, docs, events, health, jobs, page, profile_photo, uploads, users, webhooks
from service.settings import Settings


def add_routes(app: web.Application, settings: Settings) -> None:
    """Add all routes. Those not listed as public or uncounted need a token."""
    # Load balancers and browsers ask for these as often as they must.
    uncounted = _resources(app.add_routes([*health.ROUTES, *docs.ROUTES, *page.ROUTES]))
    public: list[web.AbstractRouteDef] = [
        *profile_photo.PUBLIC_ROUTES,
        # The socket signs its callers in itself: page scripts could not see a refused upgrade.
        web.get("/ws", app[keys.SERVICES].socket_endpoint, allow_head=False),
    ]
    if settings.embedded:
        public += demo.ROUTES
    app[keys.UNCOUNTED_RESOURCES] = uncounted
    app[keys.PUBLIC_RESOURCES] = uncounted | _resources(app.add_routes(public))
    submits = [*profile_photo.SUBMIT_ROUTES, *jobs.SUBMIT_ROUTES, *webhooks.SUBMIT_ROUTES]
    app[keys.SUBMIT_RESOURCES] = _resources(app.add_routes(submits))
    app.add_routes([*uploads.ROUTES, *jobs.ROUTES, *events.ROUTES, *users.ROUTES, *webhooks.ROUTES])


def _resources(routes: Iterable[web.AbstractRoute]) -> frozenset[web.AbstractResource]:
    return frozenset(route.resource for route in routes if route.resource is not None)
