"""The load of a rehearsal: people who submit, read and wait, through the load balancer, and send nothing twice."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from jobs.ids import JobId
from service.demo_sign_in import DemoSignIn
from tests.rehearsal.listener import Listener

PAUSE_SECONDS: Final = (0, 1.5)
TOLD_SECONDS: Final = 30
REQUEST_SECONDS: Final = 30
WAIT_SECONDS: Final = 2
"""The longest a request waits for its job or for an event; a load balancer cuts what takes longer than its delay."""
WAITING_SHARE: Final = 0.3
UP_SECONDS: Final = 30


@dataclass(slots=True, kw_only=True)
class Ledger:
    """What the people of a rehearsal have seen. ``failures`` are requests that were not answered as they should be."""

    accepted: set[JobId] = field(default_factory=set)
    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)


class User:
    """One person: a socket that is held, and one request after the other."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str, ledger: Ledger) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._ledger = ledger
        self._file_key = ""
        self._cursor = ""
        self.user_id = ""
        self.listener = Listener(session, url, self._headers)

    async def prepare(self, photo: bytes) -> None:
        """Learn who it is and upload a photo, as everybody does once."""
        self.user_id = (await self._ask("GET", "/user/me"))["userId"]
        asked = {"fileName": "photo.jpg", "contentType": "image/jpeg", "fileSize": len(photo)}
        link = await self._ask("POST", "/upload", json=asked)
        async with self._session.put(link["uploadUrl"], data=photo, headers=link["uploadHeaders"]) as answer:
            answer.raise_for_status()
        self._file_key = link["fileKey"]

    async def act(self, stop: asyncio.Event) -> None:
        """Submit a job, look at it, wait until the socket tells its end, and begin anew, until ``stop``.

        Whoever waits for an answer before the next wish puts no more load on a slow machine than it can bear.
        """
        while not stop.is_set():
            job_id = await self._submit()
            await asyncio.gather(self._read(job_id), self._ask_for_release(), self._wait_for_events())
            if job_id is not None:
                await self.listener.heard_of(job_id, TOLD_SECONDS)
            await asyncio.sleep(random.uniform(*PAUSE_SECONDS))

    async def _submit(self) -> JobId | None:
        wanted = {"fileKey": self._file_key, "style": "professional", "prompt": secrets.token_hex(4)}
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        if random.random() < WAITING_SHARE:
            headers["Prefer"] = f"wait={WAIT_SECONDS}"
        made = await self._ask("POST", "/generate", json=wanted, headers=headers)
        if "jobId" not in made:
            return None
        self._ledger.accepted.add(made["jobId"])
        return JobId(made["jobId"])

    async def _read(self, job_id: JobId | None) -> None:
        await self._ask("GET", "/jobs")
        if job_id is not None:
            await self._ask("GET", f"/jobs/{job_id}")

    async def _ask_for_release(self) -> None:
        said = await self._ask("GET", "/healthz")
        if "release" in said:
            self._ledger.releases[said["release"]] += 1

    async def _wait_for_events(self) -> None:
        """Ask as a client does whose network lets no socket through."""
        query = {"wait": str(WAIT_SECONDS)} | ({"after": self._cursor} if self._cursor else {})
        news = await self._ask("GET", "/events", params=query)
        self._cursor = news.get("cursor", self._cursor)

    async def _ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Send a request once; returns nothing of one that failed, and notes it."""
        self._ledger.requests += 1
        route = "/jobs/{id}" if path.startswith("/jobs/") else path
        try:
            async with self._session.request(
                method, self._url + path, headers={**self._headers, **(headers or {})}, **options
            ) as answer:
                answer.raise_for_status()
                body: dict[str, Any] = await answer.json()
                return body
        except aiohttp.ClientResponseError as error:
            self._ledger.failures[f"{method} {route}: {error.status}"] += 1
        except (aiohttp.ClientError, TimeoutError, ConnectionError, ValueError) as error:
            self._ledger.failures[f"{method} {route}: {type(error).__name__}"] += 1
        return {}


@asynccontextmanager
async def crowd(url: str, sign_in: DemoSignIn, count: int, photo: bytes, ledger: Ledger) -> AsyncIterator[list[User]]:
    """Have so many people, each with an address and connections of its own, sign in and hold a socket."""
    async with asyncio.TaskGroup() as group:
        sessions = [_session(number) for number in range(count)]
        try:
            tokens = [(await sign_in.sign_in(f"rehearsal-{number}")).id_token for number in range(count)]
            users = [User(session, url, token, ledger) for session, token in zip(sessions, tokens, strict=True)]
            await asyncio.gather(*(user.prepare(photo) for user in users))
            sockets = [group.create_task(user.listener.run()) for user in users]
            async with asyncio.timeout(UP_SECONDS):
                await asyncio.gather(*(user.listener.is_up.wait() for user in users))
            yield users
            for socket in sockets:
                socket.cancel()
        finally:
            await asyncio.gather(*(session.close() for session in sessions))


async def act_together(users: Sequence[User], stop: asyncio.Event) -> None:
    """Put the load on until ``stop``; returns when the last requests have been answered."""
    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(user.act(stop))


def _session(number: int) -> aiohttp.ClientSession:
    address = f"127.0.{1 + number // 250}.{1 + number % 250}"
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(local_addr=(address, 0), limit=0),
        timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
    )
