"""Sign-in without a password, in the embedded mode only."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web

from jobs.errors import Forbidden
from service import keys
from service.bodies import read_object
from service.openapi import answers
from service.openapi.operations import Tag, operation
from service.schemas import DemoSignInRequest, parse


@operation("signInDemo", Tag.SIGN_IN, {200: answers.SignedIn}, body=DemoSignInRequest, raises=(Forbidden,))
async def sign_in(request: web.Request) -> web.Response:
    """Give tokens to whoever asks from this machine."""
    origin = request.headers.get(hdrs.ORIGIN)
    # A foreign page in a browser of this machine may reach us too, even under a name of its own that leads here.
    if origin is not None and origin not in request.app[keys.SETTINGS].origins:
        raise Forbidden("Pages of this origin may not sign in here")
    wanted = parse(DemoSignInRequest, await read_object(request))
    demo_sign_in = request.app[keys.SERVICES].demo_sign_in
    if demo_sign_in is None:
        raise web.HTTPNotFound
    tokens = await demo_sign_in.sign_in(wanted.user)
    return web.json_response(
        {
            "idToken": tokens.id_token,
            "accessToken": tokens.access_token,
            "refreshToken": tokens.refresh_token,
            "expiresIn": tokens.expires_in,
        }
    )


ROUTES: Final = (web.post("/auth/demo", sign_in),)
