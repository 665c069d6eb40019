"""Every failure the simulator can be told to make, as the SDK shows it."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from google import genai
from google.genai import errors, types

from tests.simulator.photos import encode, message, portrait
from tests.simulator.process import connected, read_stats, reset_stats, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL = "gemini-nano-banana-2.1"
CONFIG = types.GenerateContentConfig(response_modalities=["IMAGE"])


async def ask(client: genai.Client, prompt: str, model: str = MODEL) -> types.GenerateContentResponse:
    """Send a photo with a prompt."""
    return await client.aio.models.generate_content(
        model=model, contents=message(encode(portrait()), prompt), config=CONFIG
    )


def retry_seconds(error: errors.APIError) -> float:
    """Read RetryInfo as the service does."""
    details: list[dict[str, Any]] = error.details["error"]["details"]
    delay = next(detail["retryDelay"] for detail in details if detail["@type"].endswith("RetryInfo"))
    return float(delay.removesuffix("s"))


async def test_marker_429_says_when_to_retry(gemini: genai.Client) -> None:
    """The quota error carries Help, QuotaFailure and RetryInfo of one second."""
    with pytest.raises(errors.ClientError) as caught:
        await ask(gemini, "[[sim:429]]")

    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert retry_seconds(caught.value) == 1


async def test_marker_503_is_an_overloaded_model(gemini: genai.Client) -> None:
    """The 503 has Google's status and sentence."""
    with pytest.raises(errors.ServerError, match="overloaded") as caught:
        await ask(gemini, "[[sim:503]]")

    assert (caught.value.code, caught.value.status) == (503, "UNAVAILABLE")


async def test_marker_500_once_fails_the_first_call_only(gemini: genai.Client) -> None:
    """The same prompt and photo work the second time, another prompt fails first again."""
    with pytest.raises(errors.ServerError) as caught:
        await ask(gemini, "[[sim:500-once]]")
    second = await ask(gemini, "[[sim:500-once]]")
    with pytest.raises(errors.ServerError):
        await ask(gemini, "[[sim:500-once]] for another prompt")

    assert caught.value.code == 500
    assert second.parts


async def test_marker_safety_blocks_the_prompt(gemini: genai.Client) -> None:
    """A blocked prompt is a 200 with a reason and no candidates."""
    answer = await ask(gemini, "[[sim:safety]]")

    assert answer.prompt_feedback
    assert answer.prompt_feedback.block_reason == types.BlockedReason.SAFETY
    assert answer.candidates is None


async def test_marker_no_image_finishes_without_content(gemini: genai.Client) -> None:
    """A refused picture is a 200 whose candidate has a reason and no content."""
    answer = await ask(gemini, "[[sim:no-image]]")

    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.NO_IMAGE
    assert answer.candidates[0].content is None


async def test_marker_text_answers_without_a_picture(gemini: genai.Client) -> None:
    """STOP with words alone, where a picture was asked for."""
    answer = await ask(gemini, "[[sim:text]]")

    assert answer.candidates
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert [part.inline_data for part in answer.parts or []] == [None]


async def test_marker_html_502_is_no_json(gemini: genai.Client) -> None:
    """A front end's error page reaches the SDK as text."""
    with pytest.raises(errors.ServerError) as caught:
        await ask(gemini, "[[sim:html-502]]")

    assert (caught.value.code, caught.value.status) == (502, "Bad Gateway")


async def test_marker_bad_json_breaks_the_parser(gemini: genai.Client) -> None:
    """A truncated 200 is a JSONDecodeError, which the SDK does not wrap."""
    with pytest.raises(json.JSONDecodeError):
        await ask(gemini, "[[sim:bad-json]]")


async def test_marker_hang_never_answers_until_the_client_leaves(gemini: genai.Client, simulator: str) -> None:
    """A call that hangs is in flight as long as its client is there, and no longer."""
    await reset_stats(simulator)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await ask(gemini, "[[sim:hang]]")
    async with asyncio.timeout(5):
        while (stats := await read_stats(simulator))["inFlight"]:  # noqa: ASYNC110 - another process; no event
            await asyncio.sleep(0.01)

    assert stats["byOutcome"] == {"client-left": 1}


async def test_marker_slow_takes_its_own_time(gemini: genai.Client) -> None:
    """The seconds of the marker replace the latency."""
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    await ask(gemini, "[[sim:slow=0.4]]")

    assert 0.4 <= loop.time() - started_at < 1.5


async def test_unknown_marker_is_refused(gemini: genai.Client) -> None:
    """A typing error in a marker cannot look like a success."""
    with pytest.raises(errors.ClientError, match="no marker"):
        await ask(gemini, "[[sim:50]]")


async def test_unreadable_image_is_refused(gemini: genai.Client) -> None:
    """Bytes that are no image are Gemini's 400."""
    part = types.Part.from_bytes(data=b"no image at all", mime_type="image/png")
    with pytest.raises(errors.ClientError, match="Unable to process input image") as caught:
        await gemini.aio.models.generate_content(model=MODEL, contents=message(part, "hello"), config=CONFIG)

    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("schema", [{"items": 5, "type": "array"}, {"type": "string", "pattern": "("}])
async def test_schema_that_is_none_is_refused(gemini: genai.Client, schema: dict[str, Any]) -> None:
    """A broken schema is the caller's fault, never a crash of the simulator."""
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=schema)
    with pytest.raises(errors.ClientError, match="response_schema"):
        await gemini.aio.models.generate_content(model="gemini-3.8-flash", contents="hello", config=config)


async def test_unknown_model_is_not_found(gemini: genai.Client) -> None:
    """A model that was shut down is a 404 on calls and on the readiness probe."""
    for call in (ask(gemini, "hello", "gemini-2.0-flash"), gemini.aio.models.get(model="gemini-2.0-flash")):
        with pytest.raises(errors.ClientError, match="ListModels") as caught:
            await call

        assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


async def test_bad_key_is_named_as_the_reason(simulator: str) -> None:
    """An invalid key is a 400 with ErrorInfo."""
    async with connected(simulator, key="bad") as client:
        with pytest.raises(errors.ClientError) as caught:
            await ask(client, "hello")

    assert caught.value.code == 400
    assert caught.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


async def test_missing_key_is_forbidden(simulator: str) -> None:
    """No key at all is a 403."""
    async with aiohttp.ClientSession() as session, session.get(f"{simulator}/v1/models") as response:
        assert response.status == 403
        assert (await response.json())["error"]["status"] == "PERMISSION_DENIED"


async def test_deadline_below_ten_seconds_is_refused(gemini: genai.Client) -> None:
    """The SDK forwards its time-out, and Gemini takes none below ten seconds."""
    config = CONFIG.model_copy(update={"http_options": types.HttpOptions(timeout=5_000)})
    with pytest.raises(errors.ClientError, match="deadline 5s is too short"):
        await gemini.aio.models.generate_content(model=MODEL, contents="hello", config=config)


async def test_rate_limit_says_when_the_next_call_may_come() -> None:
    """Two calls a minute pass, the third is told to wait for up to half a minute; another model is free."""
    with running("--latency", "0", "--requests-per-minute", "2") as address:
        async with connected(address) as client:
            await ask(client, "one")
            await ask(client, "two")
            with pytest.raises(errors.ClientError) as caught:
                await ask(client, "three")
            await client.aio.models.generate_content(model="gemini-3.8-flash", contents="four")

    assert caught.value.code == 429
    assert 20 < retry_seconds(caught.value) <= 30


async def test_error_rate_of_one_fails_every_call() -> None:
    """The error rate answers with 500 and 503."""
    codes = set()
    with running("--latency", "0", "--error-rate", "1") as address:
        async with connected(address) as client:
            for _attempt in range(12):
                with pytest.raises(errors.ServerError) as caught:
                    await client.aio.models.generate_content(model="gemini-3.8-flash", contents="hello")
                codes.add(caught.value.code)

    assert codes == {500, 503}


async def test_stats_prove_how_often_a_prompt_was_sent(gemini: genai.Client, simulator: str) -> None:
    """Calls are counted in all, by model, by outcome, at their peak and by prompt."""
    await reset_stats(simulator)
    await asyncio.gather(*(ask(gemini, "[[sim:slow=0.2]] the same prompt") for _call in range(3)))
    await ask(gemini, "another prompt")

    assert await read_stats(simulator) == {
        "calls": 4,
        "inFlight": 0,
        "peakInFlight": 3,
        "byModel": {MODEL: 4},
        "byOutcome": {"ok": 4},
        "distinctPrompts": 2,
        "mostCallsPerPrompt": 3,
    }
