"""The caller's account as a whole: erased, or handed over."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import asdict
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from jobs import clock
from jobs.accounts import Erased
from jobs.errors import AccountErasing, CloudUnavailable, ExportUnderWay, RequestError
from jobs.model import JSON, Caller
from service import keys
from service.openapi import answers
from service.openapi.operations import JSON_TYPE, Answer, AnswerHeader, Tag, operation

logger = logging.getLogger(__name__)

ERASE_AGAIN_SECONDS: Final = 1
EXPORT_SECONDS: Final = 3600.0
"""So long a whole download may take, at most."""
WRITE_SECONDS: Final = 30.0
"""So long a client may leave a chunk unread."""


@operation(
    "eraseMe",
    Tag.USER,
    {
        200: answers.AccountErased,
        202: Answer(
            contents={JSON_TYPE: answers.AccountErased},
            description="There is more than one request can erase: ask once more.",
            sure=(AnswerHeader.RETRY_AFTER,),
        ),
    },
)
async def erase(request: web.Request) -> web.Response:
    """Erase the caller's account, or as much of it as can be in one request: then it is asked for once more."""
    caller = request[keys.CALLER]
    erased = await request.app[keys.SERVICES].accounts.erase(caller.user_id, caller.since)
    if erased.is_complete:
        return web.json_response(_view(erased))
    headers = {hdrs.RETRY_AFTER: str(ERASE_AGAIN_SECONDS)}
    return web.json_response(_view(erased), status=HTTPStatus.ACCEPTED, headers=headers)


@operation(
    "exportMe", Tag.USER, {200: Answer(contents={"application/zip": bytes})}, raises=(ExportUnderWay, AccountErasing)
)
async def export(request: web.Request) -> web.StreamResponse:
    """Hand over all that is the caller's as a ZIP archive, while it is read."""
    caller = request[keys.CALLER]
    day = clock.utc_day(clock.now_milliseconds())
    headers = {
        hdrs.CONTENT_TYPE: "application/zip",
        hdrs.CONTENT_DISPOSITION: f'attachment; filename="darkroom-{day}.zip"',
        "X-Accel-Buffering": "no",  # proxies of nginx's kind would keep it back, or on their disk
    }
    response = web.StreamResponse(headers=headers)
    with request.app[keys.SERVICES].exports.reserving(caller.user_id):
        try:
            await _send(request, response, caller)
        except (CloudUnavailable, RequestError, ConnectionError, TimeoutError) as error:
            if not response.prepared:
                raise
            # Most often the client has left; or the caller was blocked meanwhile, or has erased the account.
            reason = type(error).__name__
            logger.info("An export was broken off", extra={"action": "export_broken_off", "reason": reason})
            _break_off(request)
    return response


async def _send(request: web.Request, response: web.StreamResponse, caller: Caller) -> None:
    archive = request.app[keys.SERVICES].exports.archive(caller.user_id, caller.since)
    async with asyncio.timeout(EXPORT_SECONDS), aclosing(archive) as chunks:
        async for chunk in chunks:
            if not response.prepared:
                await response.prepare(request)
            async with asyncio.timeout(WRITE_SECONDS):
                await response.write(chunk)
        await response.write_eof()


def _break_off(request: web.Request) -> None:
    """Cut the connection: ended properly, half an archive would pass for a whole one."""
    if request.transport is not None:
        request.transport.abort()


def _view(erased: Erased) -> dict[str, JSON]:
    counts = asdict(erased)
    return {"complete": counts.pop("is_complete"), "erased": counts}


ROUTES: Final = (web.delete("/user/me", erase), web.get("/user/me/export", export, allow_head=False))
