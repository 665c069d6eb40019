"""The simulator's HTTP server: who may call, how long an answer takes, and answers kept for repeated requests."""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from deploy.gemini_simulator import faults
from deploy.gemini_simulator.answers import Answer, compose
from deploy.gemini_simulator.bounded import RecentlyUsed
from deploy.gemini_simulator.models import MODELS, Model, find_model
from deploy.gemini_simulator.protocol import JSONObject, RefusedError
from deploy.gemini_simulator.stats import Outcome, Stats

# Gemini takes 100 MB in all; base64 makes them 134.
LARGEST_REQUEST_BYTES: Final = 144 * 2**20
KEPT_ANSWER_BYTES: Final = 192 * 2**20
REMEMBERED_FAILURES: Final = 10_000
WORKER_THREADS: Final = 2
LEAST_DEADLINE_SECONDS: Final = 10
INVALID_KEY: Final[JSONObject] = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
    "metadata": {"service": "generativelanguage.googleapis.com"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the simulated Gemini behaves: mean seconds per answer, quota per model, share of calls that fail."""

    latency_seconds: float = 2.0
    requests_per_minute: int | None = None
    error_rate: float = 0.0


class Kitchen:
    """Make answers in a few threads; equal requests share one, and it is kept for later ones."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(WORKER_THREADS, thread_name_prefix="answers")
        self._kept: RecentlyUsed[Answer] = RecentlyUsed(KEPT_ANSWER_BYTES, lambda answer: len(answer.body) + 512)
        self._making: dict[str, asyncio.Future[Answer]] = {}

    async def serve(self, method: str, model: Model, key: str, body: bytes, *, sse: bool) -> Answer:
        """Return the answer to a request, known again by its raw bytes before anything is parsed."""
        digest = hashlib.blake2b(f"{method} {model.name} {key} {sse}\n".encode(), digest_size=16)
        digest.update(body)
        name = digest.hexdigest()
        if (answer := self._kept.get(name)) is not None:
            return answer
        making = self._making.get(name)
        if making is None:
            loop = asyncio.get_running_loop()
            making = loop.run_in_executor(self._threads, lambda: compose(method, model, body, sse=sse))
            self._making[name] = making
            making.add_done_callback(lambda made: self._finish(name, made))
        # The client who asked first may leave; the others still wait for the same answer.
        return await asyncio.shield(making)

    def close(self) -> None:
        """Drop what is not yet begun."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _finish(self, name: str, made: asyncio.Future[Answer]) -> None:
        del self._making[name]
        if not made.cancelled() and made.exception() is None:
            self._kept.put(name, made.result())


class Simulator:
    """Answer calls as Gemini would, at Gemini's pace."""

    def __init__(self, settings: Settings) -> None:
        self._latency_seconds = settings.latency_seconds
        self._gate = faults.Gate(
            requests_per_minute=settings.requests_per_minute,
            error_rate=settings.error_rate,
        )
        self._failed_once: RecentlyUsed[bool] = RecentlyUsed(REMEMBERED_FAILURES)
        self.kitchen = Kitchen()
        self.stats = Stats()

    async def call(self, request: web.Request) -> web.Response:
        """Handle `POST /{version}/models/{model}:{method}`."""
        name, _colon, method = request.match_info["call"].partition(":")
        with self.stats.call(name if name in MODELS else "unknown") as outcome:
            try:
                return await self._answer(request, name, method, outcome)
            except RefusedError as refusal:
                outcome.name = str(refusal.status)
                return refused(refusal)
            except asyncio.CancelledError:
                outcome.name = "client-left"
                raise

    async def _answer(self, request: web.Request, name: str, method: str, outcome: Outcome) -> web.Response:
        started_at = asyncio.get_running_loop().time()
        key = check_key(request)
        model = find_model(name, method, request.match_info["version"])
        deadline_seconds = read_deadline(request)
        body = await read_body(request)
        self._gate.admit(name)
        answer = await self.kitchen.serve(method, model, key, body, sse=request.query.get("alt") == "sse")
        number = self.stats.count_prompt(answer.prompt)
        if answer.hangs:
            await asyncio.Event().wait()
        if answer.fails_once and self._failed_once.get(answer.prompt) is None:
            self._failed_once.put(answer.prompt, True)
            raise faults.internal_error()
        await self._take_time(answer, number, deadline_seconds, started_at)
        outcome.name = answer.outcome
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers={"Content-Type": f"{answer.content_type}; charset=UTF-8"},
        )

    async def _take_time(self, answer: Answer, number: int, deadline_seconds: float, started_at: float) -> None:
        """Wait until the answer is due; refuses with 504 when the caller's deadline comes first."""
        due_seconds = self._duration(answer, number)
        passed_seconds = asyncio.get_running_loop().time() - started_at
        await asyncio.sleep(max(0.0, min(due_seconds, deadline_seconds) - passed_seconds))
        if due_seconds > deadline_seconds:
            raise RefusedError(504, "Deadline expired before operation could complete.")

    def _duration(self, answer: Answer, number: int) -> float:
        """Say how long an answer takes: errors come at once, others within a tenth of the mean."""
        if answer.slow_seconds is not None:
            return answer.slow_seconds
        if answer.status != 200:
            return 0.0
        share = zlib.crc32(f"{answer.prompt} {number}".encode()) / 0xFFFFFFFF
        return self._latency_seconds * (0.9 + 0.2 * share)


async def list_models(request: web.Request) -> web.Response:
    """Handle `GET /{version}/models`."""
    try:
        check_key(request)
        start, size = int(request.query.get("pageToken") or 0), int(request.query.get("pageSize") or 50)
    except RefusedError as refusal:
        return refused(refusal)
    except ValueError:
        return refused(RefusedError(400, "Invalid page_token or page_size"))
    models = list(MODELS.values())
    page: JSONObject = {"models": [model.listing() for model in models[start : start + size]]}
    if start + size < len(models):
        page["nextPageToken"] = str(start + size)
    return web.json_response(page)


async def show_model(request: web.Request) -> web.Response:
    """Handle `GET /{version}/models/{model}`."""
    try:
        check_key(request)
        model = find_model(request.match_info["model"], "get", request.match_info["version"])
    except RefusedError as refusal:
        return refused(refusal)
    return web.json_response(model.listing())


def check_key(request: web.Request) -> str:
    """Return the caller's API key; refuses a missing one and the key "bad"."""
    key: str = request.headers.get("x-goog-api-key") or request.query.get("key") or ""
    if not key:
        raise RefusedError(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). "
            "Please use API Key or other form of API consumer identity to call this API.",
        )
    if key == "bad":
        raise RefusedError(400, "API key not valid. Please pass a valid API key.", [INVALID_KEY])
    return key


def read_deadline(request: web.Request) -> float:
    """Return the seconds the caller gives us; refuses fewer than 10, as Gemini does."""
    given = request.headers.get("X-Server-Timeout")
    if given is None:
        return float("inf")
    try:
        seconds = float(given)
    except ValueError:
        raise RefusedError(400, "Invalid value of X-Server-Timeout.") from None
    if seconds < LEAST_DEADLINE_SECONDS:
        least = LEAST_DEADLINE_SECONDS
        raise RefusedError(400, f"Manually set deadline {given}s is too short. Minimum allowed deadline is {least}s.")
    return seconds


async def read_body(request: web.Request) -> bytes:
    """Read the whole body; refuses one too large in Google's form."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        limit = LARGEST_REQUEST_BYTES
        raise RefusedError(413, f"Request payload size exceeds the limit: {limit} bytes.") from None


def refused(refusal: RefusedError) -> web.Response:
    """Answer with an error in Google's form."""
    return web.Response(status=refusal.status, body=refusal.body(), content_type="application/json", charset="UTF-8")


def build_app(settings: Settings) -> web.Application:
    """Build the simulator; run it with `handler_cancellation=True`, so that a client who leaves ends its call."""
    simulator = Simulator(settings)

    async def show_stats(_request: web.Request) -> web.Response:
        return web.json_response(simulator.stats.snapshot())

    async def reset_stats(_request: web.Request) -> web.Response:
        simulator.stats.reset()
        return web.json_response(simulator.stats.snapshot())

    async def run_kitchen(_app: web.Application) -> AsyncIterator[None]:
        yield
        simulator.kitchen.close()

    app = web.Application(client_max_size=LARGEST_REQUEST_BYTES)
    app.cleanup_ctx.append(run_kitchen)
    app.add_routes(
        [
            web.get("/simulator/stats", show_stats),
            web.post("/simulator/stats/reset", reset_stats),
            web.get("/{version}/models", list_models),
            web.get("/{version}/models/{model}", show_model),
            web.post("/{version}/models/{call}", simulator.call),
        ]
    )
    return app
