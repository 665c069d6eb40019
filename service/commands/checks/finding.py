"""What one look at a deployment found, and how looks are taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from jobs.aws import error_code
from jobs.errors import CloudUnavailable
from service.addresses import masked
from service.commands.client import why

LOOK_SECONDS: Final = 15
"""The longest that one look may take, where it says nothing else."""
_MAY_NOT: Final = ("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403", "UnauthorizedOperation")
_SILENT: Final = (BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError)


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one part; ``advice`` says what to do."""

    part: str
    state: State
    message: str
    advice: str = ""


class Wrong(Exception):
    """Something is not as it must be: a warning where the service works all the same."""

    def __init__(self, message: str, advice: str = "", *, state: State = State.FAILED) -> None:
        super().__init__(message)
        self.advice = advice
        self.state = state


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A look at one part: ``take`` returns what is well, or raises Wrong; ``advice`` is for errors of the call itself."""

    part: str
    take: Callable[[], Awaitable[str]]
    advice: str = ""
    seconds: float = LOOK_SECONDS


async def take(look: Look) -> Finding:
    """Take the look, and turn whatever comes of it into a finding; no address in it says who signs in there."""
    found = await _take(look)
    return replace(found, message=masked(found.message), advice=masked(found.advice))


async def _take(look: Look) -> Finding:
    try:
        async with asyncio.timeout(look.seconds):
            return Finding(part=look.part, state=State.OK, message=await _taken(look))
    except Wrong as wrong:
        return Finding(part=look.part, state=wrong.state, message=str(wrong), advice=wrong.advice)
    except ClientError as error:
        if error_code(error) in _MAY_NOT:
            message = f"Not allowed to look ({error.operation_name})."
            return Finding(part=look.part, state=State.WARNING, message=message)
        return Finding(part=look.part, state=State.FAILED, message=_refusal(error), advice=look.advice)
    except (*_SILENT, CloudUnavailable) as error:
        return Finding(part=look.part, state=State.FAILED, message=_silence(look, error), advice=look.advice)


async def _taken(look: Look) -> str:
    """Take it; and once more where nobody answered, for what is told should be no accident."""
    try:
        return await look.take()
    except _SILENT:
        return await look.take()


def _refusal(error: ClientError) -> str:
    code, said = error_code(error), str(error.response.get("Error", {}).get("Message", "")).rstrip(".")
    return f"{code}: {said}." if said and said != code else f"{code}."


def _silence(look: Look, error: BaseException) -> str:
    match error:
        case CloudUnavailable():
            return error.message
        case ResponseParserError():
            return "What answers does not speak AWS's protocol."
        case TimeoutError():
            return f"No answer within {look.seconds:g} seconds."
        case aiohttp.ClientConnectorError():
            return f"No connection to {error.host}:{error.port}{why(error)}."
        case _:
            return f"{str(error).rstrip('.') or type(error).__name__}."
