"""Services behind a wire, and a page in a browser that follows a person's jobs with the client."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from playwright.async_api import Browser, Page

from tests.browser.wire import Wire
from tests.conftest import CHECKOUT
from tests.person import Person, until
from tests.rest.issuer import Issuer

READY_SECONDS = 60
END_SECONDS = 30
PATIENCE_MILLISECONDS = 20_000
PHOTO = CHECKOUT / "tests" / "data" / "astronaut.png"
EVENTS = ("state", "snapshot", "job", "deleted", "progress", "quota", "degraded", "error")

FOLLOW = """async ([timing, events]) => {
  const { DarkroomClient } = await import('/darkroom-client.js');
  const client = new DarkroomClient({ timing, token: (options) => window.token(options) });
  window.told = [];
  for (const name of events) client.on(name, (detail) => window.told.push([name, detail]));
  window.client = client;
  client.connect();
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service process that is ready."""

    process: asyncio.subprocess.Process
    url: str

    async def end(self) -> int:
        """Send SIGTERM and wait; returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(END_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def running_service(environment: Mapping[str, str]) -> AsyncIterator[Service]:
    """Run ``python -m service`` on a free port until the block ends."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GEMINI_", "GOOGLE_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "--port=0"),
        cwd=CHECKOUT,
        env=own | dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(READY_SECONDS):
            line = (await process.stdout.readline()).decode()
        assert "http://" in line, "the service did not start"
        service = Service(process=process, url=line.split()[-1])
        yield service
        await service.end()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # asyncio keeps the pipe of a killed process open


@dataclass(kw_only=True)  # without slots: Playwright keeps its wrapper of a method on the object
class Follower:
    """A page whose client follows one person's jobs. ``next_tokens`` are given out before fresh ones, ``asked`` is what it said."""

    page: Page
    fresh_token: Callable[[], str]
    next_tokens: list[str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)

    async def give_token(self, options: dict[str, str]) -> str:
        """Answer the client's question for a token."""
        self.asked.append(options)
        self.given.append(self.next_tokens.pop(0) if self.next_tokens else self.fresh_token())
        return self.given[-1]

    async def follow(self, **timing: float) -> None:
        """Start the client."""
        await self.page.evaluate(FOLLOW, [timing, EVENTS])

    async def until_state(self, state: str) -> None:
        """Wait for the connection to be so."""
        await self.page.wait_for_function("state => window.client.state === state", arg=state)

    async def until_told(self, name: str, *, times: int = 1) -> None:
        """Wait for so many events of that name."""
        await self.page.wait_for_function(
            "([name, times]) => window.told.filter(([told]) => told === name).length >= times", arg=[name, times]
        )

    async def until_status(self, job_id: str, status: str) -> None:
        """Wait until the client has told that."""
        await self.page.wait_for_function(
            "([id, status]) => window.told.some(([name, { job }]) => name === 'job' && job.jobId === id && job.status === status)",
            arg=[job_id, status],
        )

    async def told(self, name: str) -> list[Any]:
        """Return the details of all events of that name."""
        details: list[Any] = await self.page.evaluate(
            "name => window.told.filter(([told]) => told === name).map(([, detail]) => detail)", name
        )
        return details

    async def states(self) -> list[str]:
        """Return the states told, in their order."""
        return [detail["state"] for detail in await self.told("state")]

    async def versions(self, job_id: str) -> list[int]:
        """Return the versions of a job that were told, in the order of telling."""
        return [detail["job"]["version"] for detail in await self.told("job") if detail["job"]["jobId"] == job_id]

    async def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel through the client."""
        result: dict[str, Any] = await self.page.evaluate("id => window.client.cancel(id)", job_id)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The wire, the services behind it and the issuer of their tokens."""

    wire: Wire
    environment: Mapping[str, str]
    service: Service
    issuer: Issuer
    session: aiohttp.ClientSession
    browser: Browser

    def token(self, user: str, seconds: float = 3600) -> str:
        """Sign a token that is good for so long; a negative number is in the past."""
        return self.issuer.id_token(user, exp=int(time.time() + seconds))

    def person(self, user: str, service: Service | None = None) -> Person:
        """Return the person as a program past the wire."""
        return Person(self.session, (service or self.service).url, self.token(user))

    async def delete(self, user: str, job_id: str) -> None:
        """Delete a job past the wire."""
        headers = {"Authorization": f"Bearer {self.token(user)}"}
        async with self.session.delete(f"{self.service.url}/jobs/{job_id}", headers=headers) as answer:
            answer.raise_for_status()

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """Open the page over the wire, in a profile of its own."""
        context = await self.browser.new_context(locale="en-US")
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        page = await context.new_page()
        await page.goto(self.wire.url)
        yield page
        await context.close()

    @asynccontextmanager
    async def follower(self, user: str) -> AsyncIterator[Follower]:
        """Open a page for a client that is to follow the user's jobs."""
        async with self.page() as page:
            follower = Follower(page=page, fresh_token=lambda: self.token(user))
            await page.expose_function("token", follower.give_token)
            yield follower


async def developed(person: Person) -> str:
    """Have a picture developed, told of it past every wire; returns the job's id."""
    async with person.socket() as opened:
        job_id = await person.generate(PHOTO.read_bytes())
        while (await until(opened, "job.completed"))["job"]["jobId"] != job_id:
            pass
    return job_id
