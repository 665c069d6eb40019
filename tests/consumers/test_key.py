"""The key of the image service, and what happens when it is changed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry

from consumers import gemini
from consumers.failures import FailureClass, Then
from consumers.gate import Gate, GateConfig
from consumers.gate_state import GateMetrics
from consumers.gates import Gates
from consumers.gemini import Gemini, GeminiConfig
from consumers.gemini_wire import CallFailed
from consumers.images import Picture, prepare
from consumers.metrics import PoolMetrics
from jobs import aws
from jobs.aws import AWSConfig
from jobs.ids import new_job_id
from jobs.model import ModelUse
from jobs.secret import FixedKey, Key, SecretKey


def aws_config(environment: Mapping[str, str]) -> AWSConfig:
    """Say how to reach the embedded cloud."""
    return AWSConfig(
        region=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        access_key_id=environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


class Nobody:
    """A customer who does not listen."""

    def call_begins(self) -> None:
        """Ignore it."""

    def is_billed(self, use: ModelUse) -> None:
        """Ignore it."""


async def edit(environment: Mapping[str, str], key: Key, photo: Picture) -> bytes:
    """Call the simulator with this key; it refuses the key "bad" the way Google does."""
    return await edit_with("gemini-nano-banana-2.1", environment, key, photo)


async def edit_with(model_name: str, environment: Mapping[str, str], key: Key, photo: Picture) -> bytes:
    """Call the simulator with this model and key."""
    config = GeminiConfig(image_model=model_name, base_url=environment["GEMINI_BASE_URL"])
    registry = CollectorRegistry()
    gate = Gate(model_name, GateConfig(most=1), GateMetrics(registry), lambda state: None)
    async with gemini.open_session(config) as session:
        model = Gemini(session, config, key, Gates({model_name: gate}), PoolMetrics(registry), lambda model, use: None)
        try:
            return (await model.paint("A headshot, please.", photo, Nobody())).content
        finally:
            gate.close()


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


async def test_a_key_that_is_refused_and_not_changed_puts_the_job_off(
    cloud_environment: Mapping[str, str], photo: bytes
) -> None:
    """It is no fault of the job's: it waits until the operator has looked."""
    with pytest.raises(CallFailed) as caught:
        await edit(cloud_environment, FixedKey("bad"), prepare(photo))

    assert (FailureClass.MISCONFIGURED, Then.DEFER) == (caught.value.failure, caught.value.policy.then)


async def test_a_model_that_is_gone_is_no_fault_of_the_photo(
    cloud_environment: Mapping[str, str], photo: bytes
) -> None:
    """Google shuts models down."""
    with pytest.raises(CallFailed) as caught:
        await edit_with("gemini-of-yesterday", cloud_environment, FixedKey("any"), prepare(photo))

    assert FailureClass.MISCONFIGURED is caught.value.failure
