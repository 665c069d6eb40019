"""Where to put a photo."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from jobs.errors import AccountErasing, InvalidRequest, Unauthorized
from jobs.ids import is_anonymous
from service import keys
from service.bodies import read_object
from service.openapi import answers
from service.openapi.operations import Tag, operation
from service.routes.parking_requests import ParkingPhoto
from service.routes.pipelines import PIPELINES, UNNAMED
from service.schemas import UploadRequest, parse


@operation(
    "signUpload", Tag.START, {200: answers.UploadLink}, body=UploadRequest | ParkingPhoto, raises=(AccountErasing,)
)
async def presign(request: web.Request) -> web.Response:
    """Sign a PUT of one photo, straight to S3."""
    body = await read_object(request)
    photo = parse(UploadRequest, body)
    pipeline = photo.pipeline or UNNAMED
    if pipeline not in SIGNERS:
        raise InvalidRequest(f"pipeline must be one of {', '.join(SIGNERS)}", field="pipeline")
    _check_caller(request, pipeline)
    caller = request[keys.CALLER]
    # A link is no write that could be refused, and a photo may start a job by itself.
    await request.app[keys.SERVICES].users.admit(caller.user_id, caller.since)
    link = await SIGNERS[pipeline](request, photo, body)
    return web.json_response(
        {
            "uploadUrl": link.url,
            "uploadMethod": "PUT",
            "uploadHeaders": link.headers,
            "fileKey": link.key,
            "expiresIn": link.expires_in,
        }
    )


def _check_caller(request: web.Request, pipeline: str) -> None:
    """Refuse a caller without a token whose pipeline needs one: the path serves several. Raises Unauthorized."""
    allowed = request.app[keys.SETTINGS].anonymous_pipelines
    if is_anonymous(request[keys.CALLER].user_id) and pipeline not in allowed:
        raise Unauthorized


SIGNERS: Final = {name: routes.sign_upload for name, routes in PIPELINES.items() if routes.sign_upload is not None}
"""Each pipeline whose photos are put straight into S3."""
ROUTES: Final = (web.post("/upload", presign), web.post("/upload/presigned", presign))
