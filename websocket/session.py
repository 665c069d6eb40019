"""What is said on one socket: who is it, how are things, and then whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from jobs.errors import CloudUnavailable, Unauthorized
from jobs.ids import UserId
from jobs.model import Caller
from websocket import messages
from websocket.close_codes import CloseCode, Disconnect
from websocket.connection import Connection
from websocket.hub import Hub

Authenticate: TypeAlias = Callable[[str], Awaitable[Caller]]


async def sign_in(connection: Connection, token: str | None, authenticate: Authenticate, hub: Hub) -> Caller | None:
    """Return who the client is, by the token sent with the upgrade or by a ``hello``; None if it left. Raises Disconnect."""
    token = token or await _hello(connection, hub.limits.hello_seconds)
    if token is None:
        return None
    try:
        async with asyncio.timeout(hub.limits.authenticate_seconds):
            return await authenticate(token)
    except Unauthorized as error:
        raise Disconnect(CloseCode.UNAUTHORIZED, error.message) from error
    except (CloudUnavailable, TimeoutError) as error:
        raise Disconnect(CloseCode.OVERLOADED, "Tokens cannot be checked just now") from error


async def serve(connection: Connection, caller: Caller, hub: Hub) -> None:
    """Tell the client how its jobs are and what happens to them, until it leaves. Raises Disconnect."""
    connection.close_at(caller.expires_at + hub.limits.expired_token_seconds)
    # Registered before anything is read: what happens meanwhile gathers in the outbox.
    with hub.joined(connection, caller.user_id):
        await connection.write(
            messages.welcome(connection.connection_id, caller, ping_seconds=hub.limits.ping_message_seconds)
        )
        await _recover(connection, caller.user_id, hub)
        connection.go_live()
        await _answer(connection, caller.user_id, hub)


async def _hello(connection: Connection, seconds: float) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            text = await connection.receive()
    except TimeoutError:
        raise Disconnect(CloseCode.NO_HELLO) from None
    if text is None:
        return None
    match messages.read(text):
        case messages.Hello() as hello:
            return hello.token.get_secret_value()
        case messages.Ping():
            raise Disconnect(CloseCode.BAD_FRAME, "The first message must be a hello")


async def _recover(connection: Connection, user_id: UserId, hub: Hub) -> None:
    """Send what brings the client to the present."""
    try:
        frame = await hub.snapshot(user_id)
    except (CloudUnavailable, TimeoutError) as error:
        raise Disconnect(CloseCode.OVERLOADED, "Your jobs cannot be read just now") from error
    await connection.write(frame)
    degraded = hub.degraded()
    if degraded is not None:
        await connection.write(degraded)


async def _answer(connection: Connection, user_id: UserId, hub: Hub) -> None:
    while (text := await connection.receive()) is not None:
        match messages.read(text):
            case messages.Ping():
                connection.put_newest("ping", hub.ping(user_id))
            case messages.Hello():
                raise Disconnect(CloseCode.BAD_FRAME, "You have signed in already")
