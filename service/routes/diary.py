"""Diary entries: their mood, their keywords and a picture."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from consumers.diary import MAX_CHARACTERS, PIPELINE, DiaryInput
from jobs.errors import InvalidRequest
from service.bodies import read_object
from service.openapi import answers
from service.openapi.operations import JOB_HEADERS, STARTS_JOB, Tag, operation, started
from service.pipeline_routes import PipelineRoutes
from service.routes.submissions import accepted, read_key, submit
from service.schemas import parse

NAME: Final = PIPELINE.name


@operation("writeDiary", Tag.START, started(answers.Accepted), body=DiaryInput, headers=JOB_HEADERS, raises=STARTS_JOB)
async def write(request: web.Request) -> web.Response:
    """Take an entry in."""
    entry = _read_entry(await read_object(request))
    submitted = await submit(request, NAME, entry, key=read_key(request, entry), units=PIPELINE.units)
    return await accepted(request, submitted)


def _read_entry(body: dict[str, object]) -> DiaryInput:
    text = body.get("text")
    if isinstance(text, str) and not text.strip():
        raise InvalidRequest("text is required", field="text")
    if not isinstance(body.get("date"), str | None):
        raise _no_day()  # pydantic would take a number for seconds
    try:
        return parse(DiaryInput, {name: value for name, value in body.items() if value not in (None, "")})
    except InvalidRequest as error:
        if error.field == "date":
            raise _no_day() from error
        raise


def _no_day() -> InvalidRequest:
    return InvalidRequest("date must be a day, such as 2026-11-20", field="date")


ROUTES: Final = PipelineRoutes(
    name=NAME, submits=(web.post("/diary", write),), page_config={"maxDiaryCharacters": MAX_CHARACTERS}
)
