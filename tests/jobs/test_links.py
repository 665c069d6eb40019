"""Links are those that the client would sign."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from jobs.aws import AWSConfig, open_clients
from jobs.errors import CloudUnavailable
from jobs.links import LinkSigner

ON_AWS = AWSConfig(region="eu-central-1", access_key_id="somebody", secret_access_key="something")
EMULATED = AWSConfig(
    region="us-east-1",
    endpoint_url="http://127.0.0.1:9",
    access_key_id="somebody",
    secret_access_key="something",
)
KEY = "generated/a user/with üml~äuts + signs/job_1.png"


@pytest.mark.parametrize("config", [ON_AWS, EMULATED], ids=["on AWS", "emulated"])
async def test_a_link_is_what_the_client_signs(config: AWSConfig) -> None:
    """Letter by letter, for a key with all that must be quoted."""
    async with open_clients(config) as clients:
        signer = LinkSigner(clients.s3, clients.find_credentials)
        while True:
            link = await signer.sign("results", KEY, seconds=600)
            expected = await clients.s3.generate_presigned_url(
                "get_object", Params={"Bucket": "results", "Key": KEY}, ExpiresIn=600
            )
            if _signed_at(link) == _signed_at(expected):
                break

    assert link == expected


async def test_each_bucket_has_its_own_address() -> None:
    """Whichever was asked for first."""
    async with open_clients(ON_AWS) as clients:
        signer = LinkSigner(clients.s3, clients.find_credentials)
        hosts = [urlsplit(await signer.sign(bucket, KEY, seconds=600)).hostname for bucket in ("one", "two", "one")]

    assert hosts == [f"{bucket}.s3.eu-central-1.amazonaws.com" for bucket in ("one", "two", "one")]


async def test_without_credentials_the_cloud_is_unavailable() -> None:
    """They may be there the next time."""

    async def find_none() -> None:
        return None

    async with open_clients(ON_AWS) as clients:
        with pytest.raises(CloudUnavailable):
            await LinkSigner(clients.s3, find_none).sign("results", KEY, seconds=600)


def _signed_at(link: str) -> list[str]:
    return parse_qs(urlsplit(link).query)["X-Amz-Date"]
