"""``GET /ws``: from an HTTP request to a socket that is served."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from aiohttp import hdrs, web

from jobs.errors import Forbidden, InvalidRequest
from websocket.connection import Connection
from websocket.messages import PROTOCOL
from websocket.session import Desk, serve, sign_in

logger = logging.getLogger(__name__)

_TOKEN_PREFIX = "bearer."  # noqa: S105 - how a token is marked, not one
_DRAIN_CHECK_BYTES = 16 * 1024
"""After so much output aiohttp looks whether the client reads; its default of 256 KiB would double what a hung one holds."""


class SocketEndpoint:
    """Upgrades requests and runs their sockets."""

    def __init__(self, desk: Desk, allowed_origins: frozenset[str]) -> None:
        self._desk = desk
        self._hub = desk.hub
        self._allowed_origins = allowed_origins

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket to its end. Raises Forbidden and InvalidRequest, both before the upgrade."""
        self._check_origin(request)
        offered = _offered_protocols(request)
        if offered and PROTOCOL not in offered:
            # Also, aiohttp would log what was offered, token and all.
            raise InvalidRequest(f"The subprotocol {PROTOCOL} must be offered")
        socket = self._new_socket()
        if not socket.can_prepare(request):
            raise InvalidRequest("This path speaks WebSocket only")
        async with asyncio.timeout(self._hub.limits.write_seconds):
            await socket.prepare(request)
        await self._run(request, socket, _token(request, offered))
        return socket

    def _new_socket(self) -> web.WebSocketResponse:
        limits = self._hub.limits
        return web.WebSocketResponse(
            timeout=limits.close_seconds,
            autoping=False,  # we answer pings ourselves, so that they count as messages
            heartbeat=limits.protocol_ping_seconds,
            protocols=(PROTOCOL,),
            compress=False,
            max_msg_size=limits.inbound_bytes,
            writer_limit=_DRAIN_CHECK_BYTES,
        )

    async def _run(self, request: web.Request, socket: web.WebSocketResponse, token: str | None) -> None:
        transport = request.transport
        if transport is None:
            return  # the client left during the upgrade
        connection = Connection(socket, transport, limits=self._hub.limits, metrics=self._hub.metrics)
        since = request.query.get("since") if request.query_string else None
        try:
            with self._hub.holding(connection, has_token=token is not None):
                await connection.run(partial(self._serve, connection, token, since))
        finally:
            _log("Socket closed", connection, action="socket_close", close_code=connection.close_code)

    async def _serve(self, connection: Connection, token: str | None, since: str | None) -> None:
        signed_in = await sign_in(connection, token, since, self._desk)
        if signed_in is not None:
            _log("Socket opened", connection, action="socket_open")
            await serve(connection, signed_in, self._desk)

    def _check_origin(self, request: web.Request) -> None:
        # Browsers always send it and pages cannot change it; programs send none.
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin not in self._allowed_origins:
            raise Forbidden("Pages of this origin may not connect")


def _log(event: str, connection: Connection, **extra: object) -> None:
    caller = connection.caller
    user_id = None if caller is None else caller.user_id
    logger.info(event, extra={"user_id": user_id, "connection_id": connection.connection_id, **extra})


def _offered_protocols(request: web.Request) -> list[str]:
    values = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    return [protocol.strip() for value in values for protocol in value.split(",")]


def _token(request: web.Request, offered: list[str]) -> str | None:
    """Return the token sent with the upgrade; None lets the client send a ``hello``."""
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is not None:
        return authorization.partition(" ")[2]
    return next(
        (protocol.removeprefix(_TOKEN_PREFIX) for protocol in offered if protocol.startswith(_TOKEN_PREFIX)), None
    )
