"""The key of the image service, and what happens when it is changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeAlias

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
from jobs.errors import CloudUnavailable
from jobs.ids import new_job_id
from jobs.model import ModelUse
from jobs.secret import SECRET_LIFE_SECONDS, FixedKey, Key, SecretKey
from tests.faults.messages import Request
from tests.faults.proxy import FaultProxy

MakeKey: TypeAlias = Callable[..., SecretKey]
REFUSAL = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}


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
    (picture,) = await edit_at_once("gemini-nano-banana-2.1", environment, key, photo)
    return picture


async def edit_at_once(
    model_name: str, environment: Mapping[str, str], key: Key, photo: Picture, times: int = 1
) -> list[bytes]:
    """Call the simulator with this model and key, so many times at once."""
    config = GeminiConfig(image_model=model_name, base_url=environment["GEMINI_BASE_URL"])
    registry = CollectorRegistry()
    gate = Gate(model_name, GateConfig(most=times, start=times), GateMetrics(registry), lambda state: None)
    async with gemini.open_session(config) as session:
        model = Gemini(session, config, key, Gates({model_name: gate}), PoolMetrics(registry), lambda model, use: None)
        try:
            calls = [model.paint("A headshot, please.", photo, Nobody()) for _ in range(times)]
            return [painting.content for painting in await asyncio.gather(*calls)]
        finally:
            gate.close()


@pytest.fixture
async def secrets(cloud_environment: Mapping[str, str]) -> AsyncIterator[Any]:
    """Open the client of Secrets Manager."""
    async with aws.client(aws_config(cloud_environment), "secretsmanager") as client:
        yield client


@pytest.fixture
async def make_key() -> AsyncIterator[MakeKey]:
    """Return what makes a key; each is closed in the end."""
    async with AsyncExitStack() as stack:

        def make(*arguments: Any, **limits: Any) -> SecretKey:
            key = SecretKey(*arguments, **limits)
            stack.push_async_callback(key.close)
            return key

        yield make


@pytest.fixture
async def hanging(cloud_environment: Mapping[str, str]) -> AsyncIterator[tuple[FaultProxy, Any]]:
    """Open a client of Secrets Manager through a proxy that can have it hang."""
    async with FaultProxy(cloud_environment["AWS_ENDPOINT_URL"]) as proxy:
        config = replace(aws_config(cloud_environment), endpoint_url=proxy.url)
        async with aws.client(config, "secretsmanager") as client:
            yield proxy, client


async def make_secret(client: Any, *versions: str) -> str:
    """Make a secret that has had these texts, the newest last; returns its ARN."""
    arn = (await client.create_secret(Name=new_job_id(), SecretString=versions[0]))["ARN"]
    for text in versions[1:]:
        await client.put_secret_value(SecretId=arn, SecretString=text)
    return str(arn)


def count_reads(client: Any) -> list[str]:
    """Return a list that grows with each version that is read."""
    read: list[str] = []
    client.meta.events.register(
        "provide-client-params.secretsmanager.GetSecretValue", lambda params, **_: read.append(params["VersionStage"])
    )
    return read


async def test_a_key_that_was_changed_is_read_anew_when_the_old_one_is_refused(
    cloud_environment: Mapping[str, str], secrets: Any, make_key: MakeKey, photo: bytes
) -> None:
    """The job in hand does not fail: the same call goes out once more with the new key."""
    arn = await make_secret(secrets, "bad")
    key = make_key(secrets, arn)
    before = await key.read()
    await secrets.put_secret_value(SecretId=arn, SecretString="good")
    picture = await edit(cloud_environment, key, prepare(photo))

    assert "bad" == before
    assert b"\x89PNG" == picture[:4]


async def test_calls_that_are_refused_at_once_all_go_on_and_one_of_them_reads_the_new_key(
    cloud_environment: Mapping[str, str], secrets: Any, make_key: MakeKey, photo: bytes
) -> None:
    """Whoever hears of the refusal late finds the new key, and does not take it for the refused one."""
    arn = await make_secret(secrets, "bad")
    key = make_key(secrets, arn)
    await key.read()
    await secrets.put_secret_value(SecretId=arn, SecretString="good")
    read = count_reads(secrets)
    pictures = await edit_at_once("gemini-nano-banana-2.1", cloud_environment, key, prepare(photo), times=12)

    assert {b"\x89PNG"} == {picture[:4] for picture in pictures}
    assert ["AWSCURRENT"] == read


async def test_a_new_key_that_is_refused_gives_way_to_the_one_before_for_five_minutes(
    cloud_environment: Mapping[str, str], secrets: Any, make_key: MakeKey, photo: bytes
) -> None:
    """It may be mistyped, or not yet known everywhere; then the newest is tried again. A line break at its end is none of it."""
    now = 0.0
    arn = await make_secret(secrets, "good", "bad")
    key = make_key(secrets, arn, now_seconds=lambda: now)
    picture = await edit(cloud_environment, key, prepare(photo))
    used = await key.read()
    await secrets.put_secret_value(SecretId=arn, SecretString="better\n")
    now += SECRET_LIFE_SECONDS

    assert b"\x89PNG" == picture[:4]
    assert ("good", "better") == (used, await renewed(key))


async def test_a_key_that_was_not_accepted_is_not_kept(
    cloud_environment: Mapping[str, str], secrets: Any, make_key: MakeKey, photo: bytes
) -> None:
    """When Google refuses both versions, the newest stays the one that is tried first."""
    tried: list[str] = []
    key = make_key(secrets, await make_secret(secrets, "before", "newest"))

    def is_noted(request: Request) -> bool:
        tried.append(request.headers["x-goog-api-key"])
        return True

    async with FaultProxy(cloud_environment["GEMINI_BASE_URL"]) as google:
        google.when(is_noted).status(400, json.dumps(REFUSAL).encode(), content_type="application/json")
        for _ in range(2):
            with pytest.raises(CallFailed):
                await edit({**cloud_environment, "GEMINI_BASE_URL": google.url}, key, prepare(photo))

    assert ["newest", "before"] * 2 == tried
    assert "newest" == await key.read()


async def test_an_old_key_is_better_than_none(secrets: Any, make_key: MakeKey) -> None:
    """While the secret cannot be read, be it that Secrets Manager is away or that it refuses."""
    now = 0.0
    arn = await make_secret(secrets, "good")
    key = make_key(secrets, arn, now_seconds=lambda: now)
    await key.read()
    await secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    now += SECRET_LIFE_SECONDS
    read = count_reads(secrets)
    used = [await renewed(key) for _ in range(3)]

    assert ["good"] * 3 == used
    assert ["AWSCURRENT"] == read, "it is not asked for at each use"
    assert await key.instead_of("good") is None


async def test_while_secrets_manager_hangs_calls_go_on_with_the_key_they_have(
    secrets: Any, hanging: tuple[FaultProxy, Any], make_key: MakeKey
) -> None:
    """Nobody waits for what is read meanwhile; when Google refuses the key too, nobody waits for long."""
    now = 0.0
    proxy, client = hanging
    arn = await make_secret(secrets, "old")
    key = make_key(client, arn, patience_seconds=1, now_seconds=lambda: now)
    await key.read()
    await secrets.put_secret_value(SecretId=arn, SecretString="new")
    silence = proxy.when(lambda _: True).blackhole()
    now += SECRET_LIFE_SECONDS
    async with asyncio.timeout(0.5):
        used = await asyncio.gather(*(key.read() for _ in range(64)))
    others = await asyncio.gather(*(key.instead_of("old") for _ in range(64)))
    silence.lift()

    assert ["old"] * 64 == used
    assert [None] * 64 == others
    assert 1 == silence.count, "one of them asks"
    assert ("old", "new") == (await key.read(), await key.instead_of("old"))


async def test_without_a_key_all_wait_for_the_same_reading_and_not_for_long(
    secrets: Any, hanging: tuple[FaultProxy, Any], make_key: MakeKey
) -> None:
    """So jobs of a service that starts while Secrets Manager hangs are put off; one that is canceled holds no other up."""
    proxy, client = hanging
    key = make_key(client, await make_secret(secrets, "good"), patience_seconds=1)
    silence = proxy.when(lambda _: True).blackhole()
    readings = [asyncio.create_task(key.read()) for _ in range(64)]
    await silence.reached.wait()
    readings[0].cancel()
    await asyncio.wait(readings, timeout=5)
    silence.lift()

    assert {CloudUnavailable} == {type(reading.exception()) for reading in readings[1:] if reading.done()}
    assert 1 == silence.count
    assert "good" == await key.read()


async def test_a_key_that_is_closed_reads_no_more(
    secrets: Any, hanging: tuple[FaultProxy, Any], make_key: MakeKey
) -> None:
    """What was under way is ended."""
    proxy, client = hanging
    now = 0.0
    key = make_key(client, await make_secret(secrets, "good"), now_seconds=lambda: now)
    await key.read()
    silence = proxy.when(lambda _: True).blackhole()
    now += SECRET_LIFE_SECONDS
    await key.read()
    await silence.reached.wait()
    (reading,) = readings_under_way()
    await key.close()

    assert reading.cancelled()


async def test_a_secret_without_a_text_is_none(secrets: Any, make_key: MakeKey) -> None:
    """Somebody has put it in as bytes, or nothing at all."""
    arn = await make_secret(secrets, "good", " ")
    with pytest.raises(CloudUnavailable):
        await make_key(secrets, arn).read()
    await secrets.put_secret_value(SecretId=arn, SecretBinary=b"good")
    with pytest.raises(CloudUnavailable):
        await make_key(secrets, arn).read()


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
        await edit_at_once("gemini-of-yesterday", cloud_environment, FixedKey("any"), prepare(photo))

    assert FailureClass.MISCONFIGURED is caught.value.failure


async def renewed(key: SecretKey) -> str:
    """Have the key read, and read anew if that is due; returns what it is then."""
    await key.read()
    if readings := readings_under_way():
        await asyncio.wait(readings)
    return await key.read()


def readings_under_way() -> set[asyncio.Task[Any]]:
    """Return the tasks that read a secret."""
    return {task for task in asyncio.all_tasks() if task.get_name().startswith("secret-")}
