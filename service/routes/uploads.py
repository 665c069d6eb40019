"""Where to put a photo."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from service import keys
from service.bodies import read_object
from service.schemas import UploadRequest, parse


async def presign(request: web.Request) -> web.Response:
    """Sign a PUT of one photo, straight to S3."""
    photo = parse(UploadRequest, await read_object(request))
    link = await request.app[keys.SERVICES].files.upload_link(
        request[keys.CALLER].user_id,
        content_type=photo.content_type,
        size_bytes=photo.file_size,
        extension=photo.extension,
    )
    return web.json_response(
        {
            "uploadUrl": link.url,
            "uploadMethod": "PUT",
            "uploadHeaders": link.headers,
            "fileKey": link.key,
            "expiresIn": link.expires_in,
        }
    )


ROUTES: Final = (web.post("/upload", presign), web.post("/upload/presigned", presign))
