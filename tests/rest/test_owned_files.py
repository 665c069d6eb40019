"""Addresses that callers name: their own photos in our own buckets, and nothing else."""

from __future__ import annotations

import pytest

from jobs.errors import InvalidRequest
from jobs.files import Files
from tests.rest.api import Api
from tests.rest.conftest import Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "1763629200000_0123456789abcdef0123456789abcdef.jpg"


@pytest.mark.parametrize(
    "address",
    [
        "s3://{up}/{key}",
        "S3://{up}/{key}",
        "https://{up}.s3.amazonaws.com/{key}",
        "https://{up}.s3.{region}.amazonaws.com/{key}",
        "HTTPS://{UP}.S3.amazonaws.com/{key}",
        "https://s3.{region}.amazonaws.com/{up}/{key}",
        "https://s3.amazonaws.com/{up}/{key}",
        "{endpoint}/{up}/{key}",
        "https://{up}.s3.amazonaws.com/%75ploads/{user}/{name}",
        "https://{up}.s3.amazonaws.com/{key}?X-Amz-Signature=aa&X-Amz-Date=bb&x-amz-expires=1",
    ],
)
@pytest.mark.parametrize("folder", ["uploads/{user}", "reports/{user}/phone_1"])
async def test_a_photo_of_ones_own_may_be_named_in_many_ways(api: Api, address: str, folder: str) -> None:
    """They all mean one object."""
    key = f"{folder.format(user=api.user)}/{NAME}"
    if "%75ploads" in address and not folder.startswith("uploads"):
        address = "s3://{up}/{key}"
    given = filled(api, address, key)

    assert f"s3://{api.upload_bucket}/{key}" == api.services.files.owned_by(given, api.user, field="image_url")


async def test_a_result_of_ones_own_may_be_named_too(api: Api) -> None:
    """Also by the signed link that its job has."""
    url = f"s3://{api.result_bucket}/generated/{api.user}/job_1.jpg"
    link = await api.services.files.link(url)

    assert [url, url] == [api.services.files.owned_by(given, api.user, field="f") for given in (url, link)]


ATTACKS = [
    "",
    " ",
    "{key}",
    "/{up}/{key}",
    "//{up}.s3.amazonaws.com/{key}",
    "s3:/{up}/{key}",
    "s3:///{up}/{key}",
    "s3://{up}",
    "s3://{up}/",
    "s3://{up}/{key}/",
    "s3://{up}//{key}",
    "s3://{up}/{key}\n",
    "s3://{up}/{key}\0",
    "s3://{up}/{key}#x",
    "s3://{up}/{key}?x",
    "s3://{up}/{key}?versionId=1",
    " s3://{up}/{key}",
    "s3://user@{up}/{key}",
    "s3://{up}:80/{key}",
    "s3://{up}.evil.example/{key}",
    "s3://other-bucket/{key}",
    "s3://{down}/{key}",
    "s3://{up}/generated/{user}/job_1.png",
    "s3://{up}/uploads/{user}",
    "s3://{up}/uploads/{user}/",
    "s3://{up}/uploads/{user}-other/{name}",
    "s3://{up}/uploads/other/{name}",
    "s3://{up}/uploads/{user}/../other/{name}",
    "s3://{up}/uploads/{user}/%2e%2e/other/{name}",
    "s3://{up}/uploads/{user}/..%2fother/{name}",
    "s3://{up}/uploads/{user}/%252e%252e/other/{name}",
    "s3://{up}/uploads/{user}/..\\other\\{name}",
    "s3://{up}/uploads/{user}/./{name}",
    "s3://{up}/uploads/{user}//{name}",
    "s3://{up}/uploads/{user}/.hidden",
    "s3://{up}/uploads/{user}/사진.jpg",
    "s3://{up}/uploads/{user}/%ff.jpg",
    "s3://{up}/uploads/{user}/a b.jpg",
    "s3://{up}/uploads/{user}/more/{name}",
    "s3://{up}/uploads/{user}/" + "a" * 201,
    "s3://{up}/reports/{user}/{name}",
    "s3://{up}/reports/{user}/phone/more/{name}",
    "s3://{up}/reports/{user}/my.phone/{name}",
    "s3://{down}/generated/{user}/more/job_1.png",
    "s3://{down}/generated/{user}/job_1",
    "s3://{down}/generated/{user}/{name}",
    "s3://{up}/UPLOADS/{user}/{name}",
    "s3://{up}/webhooks/{user}/{name}",
    "s3://{up}/uploads/{user}/" + "a" * 2000,
    "https://{up}.s3.amazonaws.com@evil.example/{key}",
    "https://evil.example@{up}.s3.amazonaws.com/{key}",
    "https://{up}.s3.amazonaws.com:443/{key}",
    "https://{up}.s3.amazonaws.com.evil.example/{key}",
    "https://{up}.s3.amazonaws.com\\@evil.example/{key}",
    "https://{up}.s3-website.amazonaws.com/{key}",
    "http://{up}.s3.amazonaws.com/{key}",
    "ftp://{up}.s3.amazonaws.com/{key}",
    "file:///{key}",
    "https://s3.amazonaws.com/{up}-more/{key}",
    "https://s3.amazonaws.com/other/../{up}/{key}",
    "https://{up}.s3.us-west-1.amazonaws.com/{key}",
    "https://{up}.s3.amazonaws.com/?{key}",
    "https://{up}.s3.amazonaws.com/{key}?X-Amz-Signature=aa&list-type=2",
    "https://{up}.s3.amazonaws.com/{key}?",
    "https://{up}.s3.amazonaws.com/{key}?X-Amz-Signature",
    "https://{up}.s3.amazonaws.com/{key};x",
    "http://169.254.169.254/latest/meta-data",
    "http://127.0.0.1/{up}/{key}",
    "http://localhost:4566/{up}/{key}",
    "{endpoint}/{up}/../{down}/{key}",
    "{endpoint}@evil.example/{up}/{key}",
    "http://[::1",
    "http://[{up}]/{key}",
]


@pytest.mark.parametrize("address", ATTACKS)
async def test_nothing_else_may_be_named(api: Api, address: str) -> None:
    """The answer is always the same, and names the field; nothing is looked up anywhere."""
    given = filled(api, address, f"uploads/{api.user}/{NAME}")
    with pytest.raises(InvalidRequest) as caught:
        api.services.files.owned_by(given, api.user, field="image_url")

    assert ("image_url", "image_url must be the address of a photo of yours in this service") == (
        caught.value.field,
        caught.value.message,
    )


async def test_one_bucket_may_serve_for_both(start: Start) -> None:
    """Then all folders are in it."""
    api = await start()
    files: Files = (await start(result_bucket=api.upload_bucket)).services.files

    for key in (f"uploads/{api.user}/{NAME}", f"generated/{api.user}/job_1.png"):
        url = f"s3://{api.upload_bucket}/{key}"
        assert url == files.owned_by(url, api.user, field="f")


def filled(api: Api, address: str, key: str) -> str:
    """Fill in what the service has here."""
    meta = api.clients.s3.meta
    return address.format(
        up=api.upload_bucket,
        UP=api.upload_bucket.upper(),
        down=api.result_bucket,
        key=key,
        user=api.user,
        name=NAME,
        region=meta.region_name,
        endpoint=meta.endpoint_url.rstrip("/"),
    )
