"""The emulated Cognito's own sign-in page, which its guard shows to nobody, and what it was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
from aiohttp import hdrs, web

FORM = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class HostedUI:
    """Lets a browser through to the emulator's authorize, login, token and logout; ``grants`` are those asked for.

    Faults: ``denies`` sends everybody back as somebody who pressed Cancel; ``refuses`` takes no refresh token. The emulator has
    no address to revoke a token at, so that is answered here, and noted.
    """

    emulator: str
    key_id: str
    session: aiohttp.ClientSession
    denies: bool = False
    refuses: bool = False
    grants: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    logouts: int = 0

    def app(self) -> web.Application:
        """Make the server."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/oauth2/authorize", self._authorize),
                web.post("/login", self._pass_on),
                web.post("/oauth2/token", self._token),
                web.post("/oauth2/revoke", self._revoke),
                web.get("/logout", self._logout),
                web.get("/favicon.ico", self._favicon),
            ]
        )
        return app

    async def _authorize(self, request: web.Request) -> web.Response:
        if not self.denies:
            return await self._pass_on(request)
        answer = {"error": "access_denied", "error_description": "no", "state": request.query["state"]}
        raise web.HTTPFound(f"{request.query['redirect_uri']}?{urlencode(answer)}")

    async def _token(self, request: web.Request) -> web.Response:
        grant = str((await request.post())["grant_type"])
        self.grants.append(grant)
        if self.refuses and grant == "refresh_token":
            shared = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*"}
            return web.json_response({"error": "invalid_grant"}, status=400, headers=shared)
        return await self._pass_on(request)

    async def _revoke(self, request: web.Request) -> web.Response:
        self.revoked.append(str((await request.post())["token"]))
        return web.Response()

    async def _logout(self, request: web.Request) -> web.Response:
        self.logouts += 1
        return await self._pass_on(request)

    async def _favicon(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _pass_on(self, request: web.Request) -> web.Response:
        # The guard lets whoever names its key pass, as the service does.
        headers = {hdrs.AUTHORIZATION: f"AWS4-HMAC-SHA256 Credential={self.key_id}/"}
        body = urlencode(await _form(request))
        if body:
            headers[hdrs.CONTENT_TYPE] = FORM
        url = f"{self.emulator}{request.path_qs}"
        async with self.session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as answer:
            kept = (hdrs.CONTENT_TYPE, hdrs.LOCATION, hdrs.ACCESS_CONTROL_ALLOW_ORIGIN)
            shown = {name: answer.headers[name] for name in kept if name in answer.headers}
            return web.Response(status=answer.status, headers=shown, body=await answer.read())


async def _form(request: web.Request) -> Mapping[str, str]:
    return {name: str(value) for name, value in (await request.post()).items()}
