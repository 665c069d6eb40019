"""The routes: one module per resource, and the one list that says which of them need no token."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from service import keys
from service.routes import account, demo, docs, events, health, jobs, ops, page, uploads, users, webhooks
from service.routes.pipelines import PIPELINES
from service.settings import Settings


def add_routes(app: web.Application, settings: Settings) -> None:
    """Add all routes. Those not listed as public or uncounted need a token, but for pipelines that the settings open.

    Raises CannotStart where these name a pipeline that is not there.
    """
    settings.check_pipelines(PIPELINES)
    # Load balancers and browsers ask for these as often as they must.
    uncounted = _resources(app.add_routes([*health.ROUTES, *docs.ROUTES, *page.ROUTES, *ops.PAGE_ROUTES]))
    public: list[web.AbstractRouteDef] = [
        *(route for pipeline in PIPELINES.values() for route in pipeline.public),
        # The socket signs its callers in itself: page scripts could not see a refused upgrade.
        *events.SOCKET_ROUTES,
    ]
    if settings.embedded:
        public += demo.ROUTES
    app[keys.UNCOUNTED_RESOURCES] = uncounted
    app[keys.PUBLIC_RESOURCES] = uncounted | _resources(app.add_routes(public))
    submits = [
        *(route for pipeline in PIPELINES.values() for route in pipeline.submits),
        *jobs.SUBMIT_ROUTES,
        *webhooks.SUBMIT_ROUTES,
    ]
    app[keys.SUBMIT_RESOURCES] = _resources(app.add_routes(submits))
    app.add_routes([*uploads.ROUTES, *jobs.ROUTES, *events.ROUTES, *users.ROUTES, *webhooks.ROUTES, *ops.ROUTES])
    app.add_routes(account.ROUTES)
    app.add_routes([route for pipeline in PIPELINES.values() for route in pipeline.others])
    app[keys.ANONYMOUS_HANDLERS] = _anonymous_handlers(settings.anonymous_pipelines)


def _resources(routes: Iterable[web.AbstractRoute]) -> frozenset[web.AbstractResource]:
    return frozenset(route.resource for route in routes if route.resource is not None)


def _anonymous_handlers(pipelines: Iterable[str]) -> frozenset[Handler]:
    # By handler, because one path may be open for one method only.
    opened = [PIPELINES[pipeline] for pipeline in pipelines]
    routes = [route for pipeline in opened for route in pipeline.submits]
    routes += jobs.ANONYMOUS_ROUTES if opened else ()
    routes += uploads.ROUTES if any(pipeline.sign_upload for pipeline in opened) else ()
    return frozenset(route.handler for route in routes)
