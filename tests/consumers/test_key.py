"""The key of the image service, and what happens when it is changed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry

from consumers import gemini
from consumers.gemini import Gemini, GeminiConfig
from consumers.images import Picture, prepare
from consumers.metrics import PoolMetrics
from jobs import aws
from jobs.aws import AWSConfig
from jobs.errors import MisconfiguredProvider
from jobs.ids import new_job_id
from jobs.secret import FixedKey, Key, SecretKey


def aws_config(environment: Mapping[str, str]) -> AWSConfig:
    """Say how to reach the embedded cloud."""
    return AWSConfig(
        region=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        access_key_id=environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


async def edit(environment: Mapping[str, str], key: Key, photo: Picture) -> bytes:
    """Call the simulator with this key; it refuses the key "bad" the way Google does."""
    config = GeminiConfig(image_model="gemini-nano-banana-2.1", base_url=environment["GEMINI_BASE_URL"])
    async with gemini.open_session(config) as session:
        model = Gemini(session, config, key, PoolMetrics(CollectorRegistry()))
        return (await model.edit("A headshot, please.", photo)).content


async def test_a_key_that_was_changed_is_read_anew_when_the_old_one_is_refused(
    cloud_environment: Mapping[str, str], photo: bytes
) -> None:
    """The job in hand does not fail: the same call goes out once more with the new key."""
    async with aws.client(aws_config(cloud_environment), "secretsmanager") as client:
        name = (await client.create_secret(Name=new_job_id(), SecretString="bad"))["ARN"]
        key = SecretKey(client, name)
        before = await key.read()
        await client.put_secret_value(SecretId=name, SecretString="good")
        picture = await edit(cloud_environment, key, prepare(photo))

    assert "bad" == before
    assert b"\x89PNG" == picture[:4]


async def test_a_key_that_is_refused_and_not_changed_fails_the_call(
    cloud_environment: Mapping[str, str], photo: bytes
) -> None:
    """No retry helps, and the error is no fault of the photo's."""
    with pytest.raises(MisconfiguredProvider):
        await edit(cloud_environment, FixedKey("bad"), prepare(photo))


async def test_a_model_that_is_gone_is_no_fault_of_the_photo(
    cloud_environment: Mapping[str, str], photo: bytes
) -> None:
    """Google shuts models down; the operator must look."""
    config = GeminiConfig(image_model="gemini-of-yesterday", base_url=cloud_environment["GEMINI_BASE_URL"])
    async with gemini.open_session(config) as session:
        model = Gemini(session, config, FixedKey("any"), PoolMetrics(CollectorRegistry()))
        with pytest.raises(MisconfiguredProvider):
            await model.edit("A headshot, please.", prepare(photo))
