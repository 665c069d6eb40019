"""The socket of a client in Python: what happens to its user's jobs, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final, Literal, TypeAlias

import aiohttp

from service.commands.client import Client, JSONObject, Refused, Unreachable, why

_RESTARTS: Final = 1012
_NEEDS_TOKEN: Final = 4401
_FOR_EVER: Final = (1000, 1009, 4400, 4403)
_BUSY: Final = (4429, 4503)
_BUSY_SECONDS: Final = 5.0
_MOST_SECONDS: Final = 30.0
_HEARTBEAT_SECONDS: Final = 20.0


Socket: TypeAlias = "aiohttp.ClientWebSocketResponse[Literal[True]]"


class Line:
    """Messages of the socket, at least once each and in order for each job, across cuts.

    `told_of_cut` hears why the line is cut; it is opened again until somebody stops reading.
    """

    def __init__(self, client: Client, told_of_cut: Callable[[str], None]) -> None:
        self._client = client
        self._told_of_cut = told_of_cut
        self._cursor = ""
        self._cuts_in_a_row = 0
        self._was_open = False

    async def messages(self) -> AsyncGenerator[JSONObject, None]:
        """Yield what is told; the first is a snapshot.

        Raises Refused where coming back is no use, and Unreachable where nobody has ever answered.
        """
        while True:
            code: int | None = None
            try:
                async with self._connection() as socket:
                    async with aclosing(self._read(socket)) as messages:
                        async for message in messages:
                            yield message
                    code = socket.close_code
            except aiohttp.WSServerHandshakeError as error:
                if error.status < 500:
                    raise Refused("socket_refused", f"The socket is refused: HTTP {error.status}.") from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if not self._was_open:
                    raise Unreachable(f"{self._client.url} does not answer{why(error)}.") from error
            await self._come_back(code)

    def _connection(self) -> AbstractAsyncContextManager[Socket]:
        since = f"?since={self._cursor}" if self._cursor else ""
        return self._client.session.ws_connect(
            f"{self._client.url}/ws{since}",
            headers=self._client.headers,
            protocols=("darkroom.v1",),
            heartbeat=_HEARTBEAT_SECONDS,
            max_msg_size=0,
        )

    async def _read(self, socket: Socket) -> AsyncGenerator[JSONObject, None]:
        async for frame in socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                continue
            message: JSONObject = frame.json()
            self._cursor = max(self._cursor, str(message.get("id", "")))
            match message.get("type"):
                case "welcome":
                    self._was_open, self._cuts_in_a_row = True, 0
                case "auth.expiring":
                    if await self._client.token.renewed():
                        await socket.send_json({"type": "auth", "token": self._client.token.text})
                case "ping" | "quota" | "auth.ok" | "reconnect":
                    pass
                case _:
                    yield message

    async def _come_back(self, code: int | None) -> None:
        """Wait for as long as the close code asks for. Raises Refused."""
        if code in _FOR_EVER:
            raise Refused("socket_closed", f"The service has closed the socket (code {code}).")
        self._cuts_in_a_row += 1
        if code == _NEEDS_TOKEN and (self._cuts_in_a_row > 1 or not await self._client.token.renewed()):
            raise Refused("unauthorized", "The token is refused or has expired.", status=401)
        self._told_of_cut("The connection is cut; it is opened again" if code != _RESTARTS else "The service restarts")
        ceiling = min(_MOST_SECONDS, 0.5 * 2 ** min(self._cuts_in_a_row, 8))
        await asyncio.sleep(random.uniform(0, ceiling) + (_BUSY_SECONDS if code in _BUSY else 0))  # noqa: S311 - jitter is no secret
