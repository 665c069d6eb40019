"""Profile photos: the styles, and the start of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from consumers import styles
from consumers.framing import FRAMES, PhotoFormat
from consumers.profile_photo import PIPELINE, PortraitInput
from jobs.errors import UploadNotFound
from jobs.files import UPLOAD_NAME, UploadLink, uploads_of
from jobs.ids import UserId
from service import keys
from service.bodies import read_object
from service.openapi import answers
from service.openapi.operations import JOB_HEADERS, STARTS_JOB, Tag, operation, started
from service.pipeline_routes import PipelineRoutes
from service.routes.submissions import accepted, read_key, submit, unless_claimed
from service.schemas import MAX_PROMPT, GenerateRequest, UploadRequest, parse

NAME: Final = PIPELINE.name


@operation("listStyles", Tag.START, {200: answers.Styles})
async def list_styles(_: web.Request) -> web.Response:
    """List the styles, formats and backgrounds a caller may choose."""
    return web.json_response(
        {
            "styles": [_style_view(style) for style in styles.STYLES.values()],
            "formats": [_format_view(photo_format) for photo_format in PhotoFormat],
            "backgrounds": [{"id": name, "color": color} for name, color in styles.BACKGROUNDS.items()],
        }
    )


@operation(
    "generate",
    Tag.START,
    started(answers.Accepted),
    body=GenerateRequest,
    headers=JOB_HEADERS,
    raises=(*STARTS_JOB, UploadNotFound),
)
async def generate(request: web.Request) -> web.Response:
    """Start a profile photo."""
    wish = parse(GenerateRequest, await read_object(request))
    key = read_key(request, wish)
    services = request.app[keys.SERVICES]
    _check_key(wish.file_key, request[keys.CALLER].user_id)
    async with unless_claimed(request, key):
        await services.files.check_upload(wish.file_key)
    submitted = await submit(
        request,
        NAME,
        PortraitInput(
            style=wish.chosen_style, prompt=wish.prompt, format=wish.chosen_format, background=wish.background
        ),
        key=key,
        input_url=services.files.upload_url(wish.file_key),
        units=PIPELINE.units,
    )
    return await accepted(request, submitted)


async def sign_upload(request: web.Request, photo: UploadRequest, _: Mapping[str, Any]) -> UploadLink:
    """Sign a PUT of one photo, straight to S3."""
    return await request.app[keys.SERVICES].files.upload_link(
        request[keys.CALLER].user_id,
        content_type=photo.content_type,
        size_bytes=photo.file_size,
        extension=photo.extension,
    )


def _check_key(key: str, user_id: UserId) -> None:
    """Answer another user's key like one that was never uploaded, which tells nothing."""
    prefix = uploads_of(user_id)
    if not key.startswith(prefix) or not UPLOAD_NAME.fullmatch(key, len(prefix)):
        raise UploadNotFound


def _style_view(style: styles.Style) -> dict[str, object]:
    return {
        "id": style.id,
        "name": {"en": style.name_en, "ko": style.name_ko},
        "description": {"en": style.description_en, "ko": style.description_ko},
        "takesPrompt": style.takes_prompt,
        "takesBackground": style.takes_background,
        "default": style.id == styles.DEFAULT_STYLE,
    }


def _format_view(photo_format: PhotoFormat) -> dict[str, object]:
    frame = FRAMES.get(photo_format)
    if frame is None:
        return {"id": photo_format}
    pixels = {"pixels": list(frame.pixels)} if frame.pixels else {}
    return {"id": photo_format, "ratio": [frame.width, frame.height], **pixels}


ROUTES: Final = PipelineRoutes(
    name=NAME,
    submits=(web.post("/generate", generate),),
    public=(web.get("/styles", list_styles),),
    sign_upload=sign_upload,
    page_config={"maxPromptLength": MAX_PROMPT},
)
