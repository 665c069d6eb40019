"""Profile photos: the styles, and the start of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from consumers import styles
from consumers.profile_photo import PIPELINE, PortraitInput
from jobs.errors import UploadNotFound
from jobs.files import UPLOAD_NAME, UploadLink, uploads_of
from jobs.ids import UserId
from service import keys
from service.bodies import read_object
from service.pipeline_routes import PipelineRoutes
from service.routes.submissions import accepted, read_key, submit, unless_claimed
from service.schemas import MAX_PROMPT, GenerateRequest, UploadRequest, parse

NAME: Final = PIPELINE.name


async def list_styles(_: web.Request) -> web.Response:
    """List the styles a caller may choose."""
    return web.json_response({"styles": [_style_view(style) for style in styles.STYLES.values()]})


async def generate(request: web.Request) -> web.Response:
    """Take a job in."""
    wish = parse(GenerateRequest, await read_object(request))
    key = read_key(request, wish)
    services = request.app[keys.SERVICES]
    _check_key(wish.file_key, request[keys.CALLER].user_id)
    async with unless_claimed(request, key):
        await services.files.check_upload(wish.file_key)
    submitted = await submit(
        request,
        NAME,
        PortraitInput(style=wish.chosen_style, prompt=wish.prompt),
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
        "default": style.id == styles.DEFAULT_STYLE,
    }


ROUTES: Final = PipelineRoutes(
    name=NAME,
    submits=(web.post("/generate", generate),),
    public=(web.get("/styles", list_styles),),
    sign_upload=sign_upload,
    page_config={"maxPromptLength": MAX_PROMPT},
)
