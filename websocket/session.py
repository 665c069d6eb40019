"""What is said on one socket: who is it, what has it missed, and then whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from jobs.errors import CloudUnavailable, RequestError, Unauthorized, UserBlocked
from jobs.ids import JobId, UserId
from jobs.model import JSON, Caller
from websocket import messages
from websocket.close_codes import CloseCode, Disconnect
from websocket.connection import Connection
from websocket.hub import Hub

logger = logging.getLogger(__name__)

Authenticate: TypeAlias = Callable[[str], Awaitable[Caller]]
Cancel: TypeAlias = Callable[[UserId, JobId], Awaitable[dict[str, JSON]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What clients may ask for. ``authenticate`` raises Unauthorized, UserBlocked and CloudUnavailable.

    ``cancel`` says as JSON what came of it; it raises CloudUnavailable and RequestError.
    """

    hub: Hub
    authenticate: Authenticate
    cancel: Cancel


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Who a client is, and the cursor it left off at, if it said so."""

    caller: Caller
    since: str | None


async def sign_in(connection: Connection, token: str | None, since: str | None, desk: Desk) -> SignedIn | None:
    """Find out who the client is, by the token sent with the upgrade or by a ``hello``; None if it left. Raises Disconnect."""
    if token is None:
        hello = await _hello(connection, desk.hub.limits.hello_seconds)
        if hello is None:
            return None
        token, since = hello.token.get_secret_value(), hello.since or since
    caller = await _authenticated(token, desk)
    connection.sign_in(caller)
    return SignedIn(caller=caller, since=since)


async def serve(connection: Connection, signed_in: SignedIn, desk: Desk) -> None:
    """Tell the client what it has missed and what happens to its jobs, until it leaves. Raises Disconnect."""
    caller, hub = signed_in.caller, desk.hub
    # Registered before anything is read: what happens meanwhile gathers in the outbox.
    hub.join(connection, caller.user_id)
    await connection.write(
        messages.welcome(connection.connection_id, caller, ping_seconds=hub.limits.ping_message_seconds)
    )
    await hub.listening(caller.user_id)
    await _recover(connection, caller.user_id, signed_in.since, hub)
    degraded = hub.degraded()
    if degraded is not None:
        await connection.write(degraded)
    connection.go_live()
    await _Conversation(connection, caller.user_id, desk).hold()


async def _authenticated(token: str, desk: Desk) -> Caller:
    try:
        async with asyncio.timeout(desk.hub.limits.authenticate_seconds):
            return await desk.authenticate(token)
    except Unauthorized as error:
        raise Disconnect(CloseCode.UNAUTHORIZED, error.message) from error
    except UserBlocked as error:
        raise Disconnect(CloseCode.FORBIDDEN, error.message, error.code) from error
    except (CloudUnavailable, TimeoutError) as error:
        raise Disconnect(CloseCode.OVERLOADED, "Tokens cannot be checked just now") from error


async def _hello(connection: Connection, seconds: float) -> messages.Hello | None:
    try:
        async with asyncio.timeout(seconds):
            text = await connection.receive()
    except TimeoutError:
        raise Disconnect(CloseCode.NO_HELLO) from None
    if text is None:
        return None
    message = messages.read(text)
    if not isinstance(message, messages.Hello):
        raise Disconnect(CloseCode.BAD_FRAME, "The first message must be a hello")
    return message


async def _recover(connection: Connection, user_id: UserId, since: str | None, hub: Hub) -> None:
    """Tell what brings the client to the present."""
    try:
        async for frame in hub.recovered(user_id, since, lambda: connection.is_gone):
            await connection.write(frame)
    except (CloudUnavailable, TimeoutError) as error:
        raise Disconnect(CloseCode.OVERLOADED, "Your jobs cannot be read just now") from error


class _Conversation:
    """Answers one client's messages, one after the other; but cancels, which may take long, beside the others."""

    __slots__ = ("_cancels", "_connection", "_desk", "_user_id")

    def __init__(self, connection: Connection, user_id: UserId, desk: Desk) -> None:
        self._connection = connection
        self._user_id = user_id
        self._desk = desk
        self._cancels: tuple[asyncio.Task[None], ...] = ()

    async def hold(self) -> None:
        """Answer until the client leaves. Raises Disconnect."""
        try:
            await self._answer_all()
            if self._cancels:  # a wish holds although the client has left since
                await asyncio.wait(self._cancels)
        finally:
            for task in self._cancels:
                task.cancel()
            await asyncio.gather(*self._cancels, return_exceptions=True)

    async def _answer_all(self) -> None:
        while (text := await self._connection.receive()) is not None:
            match messages.read(text):
                case messages.Ping():
                    self._connection.put_newest("ping", self._desk.hub.ping(self._user_id))
                case messages.Resume() as resume:
                    await self._resume(resume)
                case messages.Auth() as auth:
                    await self._renew(auth)
                case messages.Cancel() as cancel:
                    self._begin_cancel(cancel)
                case messages.Hello():
                    raise Disconnect(CloseCode.BAD_FRAME, "You have signed in already")

    async def _resume(self, resume: messages.Resume) -> None:
        async with self._desk.hub.resuming(self._user_id):
            # An event of now, told among those of then, would be where the client leaves off if it broke here.
            await self._connection.pause()
            await _recover(self._connection, self._user_id, resume.since, self._desk.hub)
            self._connection.go_live()

    async def _renew(self, auth: messages.Auth) -> None:
        """Take a fresh token; a bad one changes nothing, for the old one may still be good."""
        try:
            caller = await _authenticated(auth.token.get_secret_value(), self._desk)
        except Disconnect as error:
            self._connection.put(messages.error(error.code.error, error.message, "auth"))
            return
        if caller.user_id != self._user_id:
            raise Disconnect(CloseCode.FORBIDDEN, "The token is another user's")
        self._connection.sign_in(caller)
        self._connection.put(messages.auth_ok(caller))

    def _begin_cancel(self, cancel: messages.Cancel) -> None:
        if len(self._cancels) >= self._desk.hub.limits.cancels_at_once:
            code = CloseCode.TOO_MANY.error
            self._connection.put(messages.error(code, "Too many of your cancels are under way", cancel.ref))
            return
        task = asyncio.create_task(self._cancel(cancel), name=f"cancel for {self._connection.connection_id}")
        self._cancels = (*self._cancels, task)
        task.add_done_callback(self._end_cancel)

    def _end_cancel(self, task: asyncio.Task[None]) -> None:
        self._cancels = tuple(other for other in self._cancels if other is not task)
        if not task.cancelled() and (error := task.exception()) is not None:
            extra = {"action": "cancel", "connection_id": self._connection.connection_id}
            logger.error("A cancel broke", exc_info=error, extra=extra)
            self._connection.close(CloseCode.OVERLOADED)

    async def _cancel(self, cancel: messages.Cancel) -> None:
        try:
            async with asyncio.timeout(self._desk.hub.limits.cancel_seconds):
                result = await self._desk.cancel(self._user_id, JobId(cancel.job_id))
        except (CloudUnavailable, TimeoutError):
            answer = messages.error(CloudUnavailable.code, "The job cannot be canceled just now", cancel.ref)
        except RequestError as error:
            answer = messages.error(error.code, error.message, cancel.ref)
        else:
            answer = messages.cancel_ok(cancel.ref, result)
        self._connection.put(answer)
