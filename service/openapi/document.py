"""The OpenAPI 3.1 document, made from an application's routes, what they declare, and the models that read requests."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import hdrs, web

from service.openapi import operations
from service.openapi.describer import TOKEN, Describer
from service.openapi.operations import Operation, Tag
from service.openapi.schemas import Schemas
from service.process import VERSION

_Object = dict[str, Any]
_DESCRIPTION: Final = """\
A job goes in by a request, and its end is told by a push: over the socket (`GET /ws`, described by `/asyncapi.json`), as
server-sent events, or by long polling. Every answer has an `X-Request-Id`, which is yours where you send one (1 to 64 of
`A-Z a-z 0-9 . _ : -`). Times are ISO 8601 in UTC. Ignore fields that you do not know. What answers `GET` answers `HEAD`, too,
but for streams and the socket."""
_TAGS: Final[dict[Tag, str]] = {
    Tag.START: "Photos and words go in, and jobs begin.",
    Tag.JOBS: "What has become of them.",
    Tag.EVENTS: "To be told instead of asking.",
    Tag.REPORTS: "Cars that stood in one place.",
    Tag.USER: "The caller.",
    Tag.WEBHOOKS: "To be called instead of being connected.",
    Tag.SIGN_IN: "In the embedded mode only; elsewhere tokens are Cognito's.",
    Tag.OPERATORS: "For members of the group `operators`.",
    Tag.HEALTH: "For load balancers.",
    Tag.DOCUMENTS: "What the service says of itself.",
    Tag.PAGE: "What browsers load.",
}
_SECURITY: Final[_Object] = {
    TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A Cognito id token; an access token works, too. Never in an address.",
    }
}


def describe(app: web.Application, origin: str) -> _Object:
    """Describe an application reached at ``origin``, such as ``https://photos.example.com``.

    Raises LookupError for a route that declares nothing, and KeyError for a parameter of a path that nobody has described.
    """
    schemas = Schemas()
    paths = _paths(app, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Darkroom",
            "version": VERSION,
            "summary": "Uploads become AI results, and everybody connected is told at once.",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "externalDocs": {"url": "/asyncapi.json", "description": "The messages of the socket"},
        "servers": [{"url": origin}],
        "tags": [{"name": tag, "description": words} for tag, words in _TAGS.items()],
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.components.items())), "securitySchemes": _SECURITY},
    }


def find(route: web.AbstractRoute) -> Operation:
    """Return what a route declares. Raises LookupError where that is nothing."""
    declared = operations.find(route.handler)
    if declared is None:
        raise LookupError(f"{route!r} has no @operation")
    return declared


def _paths(app: web.Application, schemas: Schemas) -> _Object:
    paths: _Object = {}
    names: set[str] = set()
    for route in app.router.routes():
        if route.method == hdrs.METH_HEAD:
            continue  # each goes with a GET
        declared, describer = find(route), Describer(app, route, schemas)
        name = declared.name
        if name in names:  # a second path of the same handler
            name += describer.path.rpartition("/")[2].capitalize()
        names.add(name)
        described = {"operationId": name, **describer.operation(declared)}
        paths.setdefault(describer.path, {})[route.method.lower()] = described
    return paths
