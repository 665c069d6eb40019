"""Google Gemini, as pipelines call it: each model through its gate, and again as ``consumers.failures`` says."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import aiohttp

from consumers import gemini_wire, metrics
from consumers.failures import Then, back_off
from consumers.gate import Gate
from consumers.gate_state import NotNow
from consumers.gates import Gates, Role
from consumers.gemini_wire import Answer, CallFailed, Given, Line, Painting, Reading, Request, Vector, mapped_errors
from consumers.images import Picture
from consumers.limits import BreakerState
from jobs.model import ModelUse
from jobs.secret import Key

logger = logging.getLogger(__name__)

LONELY_SECONDS: Final = (5, 900)
"""So long a job is put off, first and at most, that failed while no other was answered: nobody can tell it from an outage."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiConfig:
    """Where and how to call. ``base_url`` None is Google; times in seconds.

    A model that is not named is not called.

    ``patience_seconds``: how long a call may wait at the gate before its job is put off. ``pace`` scales the back-off.
    """

    image_model: str
    vision_model: str = ""
    embedding_model: str = ""
    base_url: str | None = None
    timeout_seconds: float = 100
    connections: int = 600
    patience_seconds: float = 120
    pace: float = 1

    def model_of(self, role: Role) -> str:
        """Return the model that is called for this."""
        return {
            Role.IMAGE: self.image_model,
            Role.VISION: self.vision_model,
            Role.EMBEDDING: self.embedding_model,
        }[role]


class Customer(Protocol):
    """Whoever has a model called for a job."""

    def call_begins(self) -> None:
        """Hear that a call starts now: the wait at the gate is over. Told of each try."""

    def is_billed(self, use: ModelUse) -> None:
        """Hear what an answer costs, useless ones included."""


class Gemini:
    """Calls the models, each through its gate, and tries again as ``consumers.failures`` says.

    ``spend(model, use)`` is told what each answer costs. All calls raise CallFailed, and NotNow: the job can wait.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        config: GeminiConfig,
        key: Key,
        gates: Gates,
        meters: metrics.PoolMetrics,
        spend: Callable[[str, ModelUse], None],
    ) -> None:
        self._line = Line(session, key, base_url=config.base_url, timeout_seconds=config.timeout_seconds)
        self._config = config
        self._gates = gates
        self._meters = meters
        self._spend = spend
        self._chance = random.Random()  # noqa: S311 - jitter is no secret

    async def paint(self, prompt: str, photo: Picture | None, customer: Customer) -> Painting:
        """Have the image model make a picture of the words, and of the photo if there is one."""
        return await self._answered(gemini_wire.painting(self._config.image_model, prompt, photo), customer)

    async def ask(
        self, instruction: str, answer_model: type[Answer], customer: Customer, *, photo: Picture | None, text: str = ""
    ) -> Reading[Answer]:
        """Have the vision model look at the photo, or read the text, and answer in the form of ``answer_model``."""
        question = gemini_wire.question(self._config.vision_model, instruction, answer_model, photo, text)
        return await self._answered(question, customer)

    async def embed(self, pictures: Sequence[Picture], customer: Customer) -> list[Vector]:
        """Return a vector of length 1 for each picture: alike pictures lie close together."""
        return await self._answered(gemini_wire.embedding(self._config.embedding_model, pictures), customer)

    async def _answered(self, request: Request[Given, T], customer: Customer) -> T:
        """Call until there is an answer of use, or the class of the failure says that it is enough."""
        gate = self._gates[request.model]
        began = gate.now()
        deadline = time.monotonic() + self._config.patience_seconds
        for attempt in itertools.count(1):
            try:
                # All waits at the gate together take the patience once: a job that is throttled for long is put off.
                patience = max(0, deadline - time.monotonic())
                # With the same seed the same dice would fall the same way.
                return await self._call_once(gate, request, attempt - 1 or None, patience, customer)
            except CallFailed as error:
                await self._wait_or_raise(gate, error, attempt, began)
        raise AssertionError  # counting has no end

    async def _wait_or_raise(self, gate: Gate, error: CallFailed, attempt: int, began: float) -> None:
        policy = error.policy
        if policy.in_process_tries is not None and attempt >= policy.in_process_tries:
            if policy.then is Then.REQUEUE:
                _blame_an_outage(gate, error, began)
            raise error
        if not policy.counts_as_throttling:  # there the gate does the waiting
            await asyncio.sleep(self._config.pace * back_off(policy, attempt, self._chance))

    async def _call_once(
        self, gate: Gate, request: Request[Given, T], seed: int | None, patience_seconds: float, customer: Customer
    ) -> T:
        async with gate.admit(patience_seconds) as permit:
            customer.call_begins()
            started = time.monotonic()
            try:
                with self._meters.gemini_call(request.model), mapped_errors():
                    async with asyncio.timeout(self._config.timeout_seconds):
                        answer = await self._line.send(request, seed)
                    # Refused and unusable answers cost as well.
                    self._bill(request.model, request.use_of(answer), customer)
                    result = request.read(answer, time.monotonic() - started)
            except CallFailed as error:
                _note(request.model, error.failure.value, started)
                permit.failed(error.failure, error.retry_after_seconds)
                raise
            _note(request.model, "ok", started)
            permit.succeeded()
            return result

    def _bill(self, model: str, use: ModelUse, customer: Customer) -> None:
        self._meters.count_use(model, use)
        self._spend(model, use)
        customer.is_billed(use)


def _note(model: str, outcome: str, started: float) -> None:
    milliseconds = round((time.monotonic() - started) * 1000)
    extra = {"action": "gemini_call", "model": model, "outcome": outcome, "milliseconds": milliseconds}
    logger.info("Gemini was asked", extra=extra)


def _blame_an_outage(gate: Gate, error: CallFailed, began: float) -> None:
    """Raise NotNow when it was not this job's doing: the breaker is open, or nobody else was answered meanwhile either."""
    state = gate.state
    if state.breaker is not BreakerState.CLOSED:
        raise NotNow(state.retry_after_seconds or 1, state.reason) from error
    if not gate.has_answered_since(began):
        first, most = LONELY_SECONDS
        raise NotNow(first, error.message, at_most_seconds=most) from error


@asynccontextmanager
async def open_session(config: GeminiConfig) -> AsyncIterator[aiohttp.ClientSession]:
    """Open the HTTP session the SDK is given; it closes with the process, never by the SDK."""
    connector = aiohttp.TCPConnector(limit=config.connections, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=2**22) as session:
        yield session
