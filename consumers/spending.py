"""What the models cost, and the day's limit for it, which all tasks share."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from jobs import clock
from jobs.errors import CloudUnavailable
from jobs.model import ModelUse
from jobs.spend_table import Spend, SpendTable

logger = logging.getLogger(__name__)

LIMIT_REACHED: Final = "The daily spend limit is reached."
FLUSH_SECONDS: Final = 5.0
_PENDING_SHARE: Final = 0.01
"""So much of the limit may be unknown to the other tasks before the next flush is due."""
_CALL_SECONDS: Final = 5.0
"""What starting and stopping may wait for the table."""
_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars: for a million tokens of prompt, of text (thoughts too) and of pictures, and for one picture at the least.

    The tokens of a picture are among those of the answer; ``picture`` is for answers that do not say their tokens.
    """

    prompt: float
    text: float
    picture_tokens: float = 0
    picture: float = 0

    def microdollars(self, tokens: Mapping[str, int], pictures: int) -> int:
        """Return what one call costs, rounded up."""
        answer = tokens.get("output", 0) * (self.picture_tokens if pictures else self.text)
        thoughts = tokens.get("thoughts", 0) * self.text
        return math.ceil(
            tokens.get("prompt", 0) * self.prompt + thoughts + max(answer, pictures * self.picture * _MICRO)
        )


PRICES: Final[Mapping[str, Price]] = {
    # As third parties told them in November 2026, the dearer one where a rise is announced: check your own bill.
    "gemini-nano-banana-2.1": Price(prompt=1.50, text=7.50, picture_tokens=30, picture=0.0336),
    "gemini-3-pro-image": Price(prompt=2.00, text=12.00, picture_tokens=120, picture=0.134),
    "gemini-3.1-flash-lite-image": Price(prompt=0.25, text=1.50, picture_tokens=30, picture=0.0336),
    "gemini-3.8-flash": Price(prompt=1.50, text=7.50),
    "gemini-3.5-flash-lite": Price(prompt=0.30, text=2.50),
    "gemini-3.1-flash-lite": Price(prompt=0.25, text=1.50),
    "gemini-4-argon": Price(prompt=4.00, text=20.00),
    "gemini-embedding-2": Price(prompt=0.20, text=0),
}


class Prices:
    """Tells what a call costs; a model it does not know is as dear as the dearest, and is warned of once."""

    def __init__(self, prices: Mapping[str, Price] = PRICES) -> None:
        self._prices = dict(prices)
        prompt, text, picture_tokens, picture = map(max, zip(*map(astuple, prices.values()), strict=True))
        self._dearest = Price(prompt=prompt, text=text, picture_tokens=picture_tokens, picture=picture)

    def microdollars(self, model: str, tokens: Mapping[str, int], pictures: int) -> int:
        """Return what one call of the model costs, in millionths of a dollar."""
        if model not in self._prices:
            logger.warning("The price of a model is not known", extra={"action": "price_unknown", "model": model})
            self._prices[model] = self._dearest
        return self._prices[model].microdollars(tokens, pictures)


class Spending:
    """Adds up what this task's calls cost, tells the others through the table, and orders a close when the day is paid for.

    ``close`` takes seconds since the epoch and a reason, like ``Gate.close_until``. Without a limit it only adds up.
    ``failed`` is done when it died by itself: nobody would see the limit any more, so the process must stop then.
    """

    def __init__(
        self,
        table: SpendTable,
        daily_limit_usd: float | None,
        close: Callable[[float, str], None],
        registry: CollectorRegistry,
        *,
        prices: Prices | None = None,
        now: Callable[[], int] = clock.now_milliseconds,
    ) -> None:
        self._table = table
        self._limit = None if daily_limit_usd is None else round(daily_limit_usd * _MICRO)
        self._close = close
        self._prices = prices or Prices()
        self._now = now
        self._pending: dict[str, Spend] = {}
        self._closed_day = ""
        self._wanted = asyncio.Event()
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None
        self._metric = Counter(
            "gemini_spend_microdollars", "Cost of Gemini by our price list", ["model"], registry=registry
        )
        self._spent_today = Gauge(
            "gemini_spend_today_microdollars", "Of all tasks in this UTC day, where it has a limit", registry=registry
        )
        self._spent_today.set(math.nan)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(self, model: str, use: ModelUse) -> None:
        """Take in what one call is billed for: ``prompt``, ``output`` and ``thoughts`` tokens, and its pictures."""
        cost = self._prices.microdollars(model, use.tokens, use.pictures)
        self._metric.labels(model).inc(cost)
        day = clock.utc_day(self._now())
        spend = Spend(microdollars=cost, pictures=use.pictures, tokens=sum(use.tokens.values()))
        self._pending[day] = self._pending.get(day, Spend()) + spend
        if self._limit is not None and self._pending[day].microdollars > self._limit * _PENDING_SHARE:
            self._wanted.set()

    async def start(self) -> None:
        """Learn what the day has cost so far, if the table answers soon, and begin to keep watch."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CALL_SECONDS):
                await self._exchange()
        self._task = asyncio.create_task(self._run(), name="spending")
        self._task.add_done_callback(self._note_death)

    async def stop(self, seconds: float = _CALL_SECONDS) -> None:
        """Write down what is not yet, for so long at most, and stop; call it when no call runs any more."""
        if self._task is None:
            return
        self._is_stopping = True
        self._wanted.set()
        await asyncio.wait([self._task], timeout=min(seconds, _CALL_SECONDS))
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        is_last = False
        while not is_last:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._wanted.wait()
            self._wanted.clear()
            is_last = self._is_stopping
            await self._exchange()

    async def _exchange(self) -> None:
        """Tell the table what is pending and learn what all tasks have spent; what cannot be told is kept."""
        today = clock.utc_day(self._now())
        try:
            for day in sorted(self._pending):
                self._check(day, await self._flush(day))
            if self._limit is not None and self._closed_day != today:
                # A task that spends nothing must learn of the others as well.
                self._check(today, await self._table.total(today))
        except CloudUnavailable:
            logger.warning("The spending could not be told", extra={"action": "spend_later"})

    async def _flush(self, day: str) -> int:
        spend = self._pending.pop(day)
        try:
            return await self._table.add(day, spend)
        except CloudUnavailable:
            self._pending[day] = spend + self._pending.get(day, Spend())
            raise

    def _check(self, day: str, total: int) -> None:
        now = self._now()
        if self._limit is None or day != clock.utc_day(now):
            return
        self._spent_today.set(total)
        if total < self._limit or day == self._closed_day:
            return
        self._closed_day = day
        extra = {"action": "spend_limit", "microdollars": total, "limit_microdollars": self._limit}
        logger.error("The daily spend limit is reached", extra=extra)
        self._close(clock.next_utc_midnight(now) / 1000, LIMIT_REACHED)

    def _note_death(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            logger.critical("The spending died", exc_info=error, extra={"action": "spending_died"})
            self.failed.set_result(None)
