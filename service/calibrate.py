"""``python -m service calibrate``: how alike the backgrounds of an operator's own pairs of crops are.

It shows what SIMILARITY_THRESHOLD would make of photos like theirs; nothing is written, and no AWS is needed.
"""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from typing import Final, TextIO, TypeVar
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings

from consumers import backgrounds
from consumers.backgrounds import Scene
from consumers.gate import Gate, GateConfig
from consumers.gate_state import GateMetrics, NotNow
from consumers.gates import Gates
from consumers.gemini import Gemini, GeminiConfig, open_session
from consumers.gemini_wire import CallFailed, Vector
from consumers.images import ImageWorker, Picture, prepare
from consumers.metrics import PoolMetrics
from jobs.errors import InvalidImage
from jobs.model import ModelUse
from jobs.secret import FixedKey
from service.calibration_pairs import (
    BadPairs,
    Compared,
    Crop,
    Mistake,
    Pair,
    check_crop,
    in_thread,
    read_crop,
    read_pairs,
    refuse,
)
from service.calibration_report import as_text, make_report
from service.log import configure_logging
from service.process import CannotStart, Stopped, stop_on_signals, unless_stopped
from service.settings import Settings, explain

T = TypeVar("T")

_HINT: Final = "If it stays so, check GEMINI_API_KEY, GEMINI_BASE_URL and EMBEDDING_MODEL_NAME."
_AT_ONCE: Final = 8
_CALL_SECONDS: Final = 30.0
_FAILURES_TO_OPEN: Final = 100
"""More than all that run at once have tries: the first that has used its own up ends the command, at once."""
_ITEMS_PER_LINE: Final = 100


class GeminiFailed(Exception):
    """Gemini did not answer; the message says for which row, and why."""


class GeminiSettings(BaseSettings):
    """The few of the service's settings that a comparison needs."""

    model_config = Settings.model_config

    gemini_api_key: SecretStr
    gemini_base_url: str | None = None
    embedding_model_name: str = Settings.model_fields["embedding_model_name"].default

    @field_validator("gemini_base_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("must be an http or https address")
        return url

    @property
    def is_simulated(self) -> bool:
        """Whether who answers is on this machine."""
        host = urlsplit(self.gemini_base_url or "").hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


async def run(options: argparse.Namespace) -> bool:
    """Run the command, a composition root of its own; returns False when Gemini failed or a signal came.

    Raises CannotStart for settings and pairs that do not work.
    """
    stop = stop_on_signals()
    configure_logging("WARNING", "auto")
    settings = _read_settings()
    try:
        compared = await unless_stopped(stop, _compare_all(read_pairs(options.pairs), settings))
    except (GeminiFailed, Stopped) as error:
        sys.stderr.write(f"Stopped: {error}\n" if str(error) else "Stopped by a signal.\n")
        return False
    report = make_report(
        compared, options.threshold, model=settings.embedding_model_name, is_simulated=settings.is_simulated
    )
    sys.stdout.write(f"{report.model_dump_json(by_alias=True, indent=2)}\n" if options.json else as_text(report))
    return True


def _read_settings() -> GeminiSettings:
    try:
        return GeminiSettings()
    except ValidationError as error:
        raise CannotStart("\n".join(["The settings are not complete:", *explain(error)])) from error


async def _compare_all(pairs: Sequence[Pair], settings: GeminiSettings) -> list[Compared]:
    """Check all crops before the first call is paid for, then compare. Raises BadPairs and GeminiFailed."""
    compared: list[Compared] = []
    with closing(ImageWorker()) as images:
        await _check_all(pairs, images)
        async with _open_gemini(settings) as gemini:

            async def compare(pair: Pair) -> None:
                compared.append(await _compare(pair, images, gemini))

            await _each("pairs compared", pairs, compare)
    return sorted(compared, key=lambda each: each.pair.row)


async def _check_all(pairs: Sequence[Pair], images: ImageWorker) -> None:
    mistakes: list[Mistake] = []
    crops = {(crop.path, crop.box): crop for pair in reversed(pairs) for crop in (pair.second, pair.first)}

    async def check(crop: Crop) -> None:
        try:
            await in_thread(images, crop, lambda: check_crop(crop))
        except Mistake as mistake:
            mistakes.append(mistake)

    await _each("crops checked", list(crops.values()), check)
    refuse(mistakes)


async def _compare(pair: Pair, images: ImageWorker, gemini: Gemini) -> Compared:
    was_asked = False

    async def embed(pictures: Sequence[Picture]) -> list[Vector]:
        nonlocal was_asked
        was_asked = True
        return await gemini.embed(pictures, _Operator())

    try:
        first, second = await _read_scene(pair.first, images), await _read_scene(pair.second, images)
        similarity = await backgrounds.similarity(first, second, images, embed)
    except (Mistake, InvalidImage) as error:
        raise BadPairs(str(error) if isinstance(error, Mistake) else f"row {pair.row}: {error}") from error
    except (CallFailed, NotNow) as error:
        raise GeminiFailed(f"row {pair.row}: {error.message} {_HINT}") from error
    return Compared(pair=pair, similarity=similarity, by_hash=not was_asked)


async def _read_scene(crop: Crop, images: ImageWorker) -> Scene:
    content = await in_thread(images, crop, lambda: read_crop(crop))
    if crop.box is None:
        # What is masked is encoded anew; the rest would go out with the place and time that a phone writes into it.
        content = (await in_thread(images, crop, lambda: prepare(content))).content
    return Scene(content=content, vehicle=crop.box)


class _Operator:
    """Who has these calls made; there is no job to account for."""

    def call_begins(self) -> None:
        """Nobody waits for it."""

    def is_billed(self, use: ModelUse) -> None:
        """Whose key it is pays."""


@asynccontextmanager
async def _open_gemini(settings: GeminiSettings) -> AsyncIterator[Gemini]:
    model, registry = settings.embedding_model_name, CollectorRegistry()
    config = GeminiConfig(
        image_model="",
        embedding_model=model,
        base_url=settings.gemini_base_url,
        timeout_seconds=_CALL_SECONDS,
        connections=_AT_ONCE,
    )
    gate_config = GateConfig(most=_AT_ONCE, start=_AT_ONCE, failures_to_open=_FAILURES_TO_OPEN)
    gate = Gate(model, gate_config, GateMetrics(registry), lambda _: None)
    key = FixedKey(settings.gemini_api_key.get_secret_value())
    with closing(gate):
        async with open_session(config) as session:
            yield Gemini(session, config, key, Gates({model: gate}), PoolMetrics(registry), lambda _model, _use: None)


async def _each(what: str, items: Sequence[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do the work for all, some at a time, and show how far it is. Raises what the first failure raises."""
    waiting, progress = iter(items), _Progress(sys.stderr, what, len(items))

    async def worker() -> None:
        for item in waiting:
            await work(item)
            progress.step()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(worker())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures  # one sentence is for a person
    finally:
        progress.end()


class _Progress:
    """Shows how far it is: one line that renews itself on a terminal, else a line for every hundred."""

    def __init__(self, stream: TextIO, what: str, total: int) -> None:
        self._stream, self._what, self._total = stream, what, total
        self._done = 0

    def step(self) -> None:
        """Count one."""
        self._done += 1
        text = f"{self._done} of {self._total} {self._what}"
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{text}\r")
        elif self._done % _ITEMS_PER_LINE == 0 or self._done == self._total:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._stream.isatty():
            self._stream.write("\r\x1b[K")
            self._stream.flush()
