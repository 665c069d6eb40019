"""Answers that do not reach the page: a wish costs one picture, and what is no longer wrong is not on show."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.visit import PATIENCE_MILLISECONDS, Visit, sign_in, visit
from tests.journey.running import Running, embedded_service

pytestmark = pytest.mark.timeout(180)

GENERATE = "**/generate"
TRIES = 3
"""How often the page sends a wish that gets no answer."""


class Loss:
    """Loses answers to ``POST /generate``, and notes the keys of the requests; one that ``reaches`` starts its job before."""

    def __init__(self, times: int, *, reaches: bool = True) -> None:
        self.keys: list[str | None] = []
        self._times = times
        self._reaches = reaches

    async def __call__(self, route: Route) -> None:
        """Reset the connection, or let the request through when enough were lost."""
        self.keys.append(route.request.headers.get("idempotency-key"))
        if len(self.keys) > self._times:
            await route.continue_()
            return
        if self._reaches:
            await route.fetch()
        await route.abort("connectionreset")


def uploads(seen: Visit) -> int:
    """Count the links that the page has asked for."""
    return sum(url.endswith("/upload") for url in seen.requested)


async def test_a_lost_answer_does_not_cost_a_second_picture(browser: Browser, demo: Running, person: str) -> None:
    """The request reaches the service, its answer does not arrive: the page asks again by itself and gets the same job."""
    loss = Loss(1)
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.page.route(GENERATE, loss)
        async with seen.page.expect_response(GENERATE):
            await seen.submit()
        await expect(seen.jobs("completed")).to_have_count(1)
        await expect(seen.page.locator(seen.hook("quota"))).to_have_attribute("data-remaining", "9")
        await expect(seen.page.locator(seen.hook("submit"))).to_be_enabled()

        assert 0 == await seen.page.locator(seen.hook("error")).count()
        assert 1 == await seen.jobs().count()

    assert 2 == len(loss.keys)
    assert loss.keys[0] == loss.keys[1] is not None


async def test_a_job_that_shows_is_no_error_though_no_answer_came(browser: Browser, demo: Running, person: str) -> None:
    """Every answer is lost, and the socket brings the job: the wish is granted, and the next one is another."""
    loss = Loss(TRIES)
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.page.route(GENERATE, loss)
        await seen.submit()
        await expect(seen.page.locator(seen.hook("submit"))).to_be_disabled()
        await expect(seen.page.locator(seen.hook("submit"))).to_be_enabled()
        errors = await seen.page.locator(seen.hook("error")).count()
        shown = await seen.jobs().count()
        await seen.page.click(seen.hook("submit"))
        await expect(seen.jobs("completed")).to_have_count(2)

    assert (0, 1) == (errors, shown)
    assert 1 == len(set(loss.keys[:TRIES]))
    assert loss.keys[TRIES] not in loss.keys[:TRIES]


async def test_develop_pressed_again_is_the_same_wish(browser: Browser, demo: Running, person: str) -> None:
    """Nothing got through: the page says so; pressed again it sends the stored photo under the same key, another wish not."""
    loss = Loss(2 * TRIES, reaches=False)
    async with visit(browser, demo.url) as seen:
        await sign_in(seen, person)
        await seen.page.route(GENERATE, loss)
        await seen.submit("first")
        error = seen.page.locator(seen.hook("error"))
        await expect(error).to_contain_text("cannot be reached")
        await seen.page.fill(seen.hook("prompt"), "second")
        await seen.page.click(seen.hook("submit"))
        await expect(error).to_have_count(0)
        await expect(error).to_have_count(1)
        await seen.page.fill(seen.hook("prompt"), "first")
        await seen.page.click(seen.hook("submit"))
        await expect(seen.jobs("completed")).to_have_count(1)

        assert 1 == uploads(seen)

    first, second, again = loss.keys[:TRIES], loss.keys[TRIES : 2 * TRIES], loss.keys[2 * TRIES :]
    assert (1, 1) == (len(set(first)), len(set(second)))
    assert first[0] != second[0]
    assert [first[0]] == again


async def test_that_the_service_cannot_be_reached_is_said_until_it_is(browser: Browser, tmp_path: Path) -> None:
    """The note about the network goes when the connection is back."""
    async with embedded_service(tmp_path, "--gemini-latency=0.2") as service:
        port = service.url.rsplit(":", 1)[1]
        async with visit(browser, service.url) as seen:
            await sign_in(seen, "alice")
            connection, error = seen.page.locator(seen.hook("connection")), seen.page.locator(seen.hook("error"))
            await service.end(signal.SIGKILL)
            await expect(connection).not_to_have_attribute("data-state", "live")
            await seen.submit()
            await expect(error).to_contain_text("cannot be reached")
            async with embedded_service(tmp_path, "--gemini-latency=0.2", f"--port={port}"):
                await expect(connection).to_have_attribute("data-state", "live", timeout=2 * PATIENCE_MILLISECONDS)
                await expect(error).to_have_count(0)
                await seen.page.click(seen.hook("submit"))
                await expect(seen.jobs("completed")).to_have_count(1)
