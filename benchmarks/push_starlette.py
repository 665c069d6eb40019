"""The context of the push floors: a bare Starlette endpoint under uvicorn, which does what the bare aiohttp server does."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from benchmarks.push_frames import Step
from benchmarks.push_stands import Command, Contents
from websocket import messages


class OnStarlette:
    """Nothing but Starlette: sockets in lists, and ``send_text``, which takes text and leaves encoding to uvicorn."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._greeting = [content.decode() for content in contents.greeting]
        self._texts: dict[Step, str] = {}
        self._sockets: dict[str, list[WebSocket]] = defaultdict(list)

    async def serve(self, socket: WebSocket) -> None:
        """Greet as the house does, and read until the client leaves."""
        await socket.accept(subprotocol=messages.PROTOCOL)
        user = socket.headers["authorization"].removeprefix("Bearer ")
        for text in self._greeting:
            await socket.send_text(text)
        sockets = self._sockets[user]
        sockets.append(socket)
        async for _ in socket.iter_text():
            pass
        sockets.remove(socket)

    async def prepare(self, steps: list[Step]) -> None:
        """Make the texts of what will be pushed, all but the stamps."""
        await self._contents.prepare(steps)
        self._texts = {step: self._contents.of(step).decode() for step in steps}

    async def push(self, step: Step) -> None:
        """Send the step's text to its user's sockets."""
        for each in self._sockets[step.user]:
            await each.send_text(self._texts[step])

    async def push_stamped(self, step: Step) -> None:
        """Stamp the text and send it."""
        text = self._contents.stamped(step).decode()
        for each in self._sockets[step.user]:
            await each.send_text(text)

    async def push_to_all(self) -> None:
        """Send the same text to everybody."""
        text = self._contents.for_all().decode()
        for sockets in self._sockets.values():
            for each in sockets:
                await each.send_text(text)

    def count_slow(self) -> int:
        """Nobody is closed."""
        return 0


async def serve(stand: OnStarlette, commands: Mapping[str, Command], listener: socket.socket, *, backlog: int) -> None:
    """Serve the stand until the process is ended, with all left out that the bare aiohttp server has not either."""
    routes = [Route(f"/{name}", _endpoint(command), methods=["POST"]) for name, command in commands.items()]
    config = uvicorn.Config(
        Starlette(routes=[WebSocketRoute("/ws", stand.serve), *routes]),
        http="httptools",
        ws="auto",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        backlog=backlog,
    )
    await uvicorn.Server(config).serve(sockets=[listener])


def _endpoint(command: Command) -> Callable[[Request], Awaitable[JSONResponse]]:
    async def handle(request: Request) -> JSONResponse:
        return JSONResponse(await command(request.query_params))

    return handle
