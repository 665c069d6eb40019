"""What a client gets back, and of what types it is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

PATIENCE: Final = aiohttp.ClientTimeout(total=60)
"""What the old back ends allow a call."""
_TYPE_NAMES: Final = {str: "text", int: "integer", float: "number", bool: "boolean", type(None): "null"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, which is what it says it is."""
        assert self.headers["Content-Type"].partition(";")[0] == "application/json", self.body
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, code and sentence of an error that has the one form, with a field or a job at most besides."""
        said = dict(self.json)
        assert self.status >= 400, said
        answer = self.status, said.pop("code"), said.pop("error")
        assert said.pop("requestId") == self.headers["X-Request-Id"]
        assert said.keys() <= {"field", "jobId"}
        return answer


async def call(method: str, url: str, **options: Any) -> Reply:
    """Send a request on a connection of its own, as a back end without a pool does."""
    async with (
        aiohttp.ClientSession(timeout=PATIENCE) as session,
        session.request(method, url, **options) as answer,
    ):
        return Reply(status=answer.status, headers=answer.headers.copy(), body=await answer.read())


def shape(value: Any) -> Any:
    """Replace each value within a JSON value by the name of its type; a list whose parts are all alike has one of them."""
    match value:
        case dict():
            return {name: shape(part) for name, part in value.items()}
        case list():
            parts = [shape(part) for part in value]
            return parts[:1] if all(part == parts[0] for part in parts) else parts
        case _:
            return _TYPE_NAMES[type(value)]
