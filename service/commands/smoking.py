"""What ``smoke`` does: what a browser would ask of a service, one after the other."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
from yarl import URL

from service.commands.checking import sum_up, tell
from service.commands.checks.finding import Finding, Look, State, Wrong, take
from service.commands.client import Photo, Refused, Unreachable, read_photo, why
from service.commands.display import Display
from service.commands.following import check_url, follow, open_client
from service.process import CannotStart
from websocket.close_codes import CloseCode

ANSWERS_IN_A_ROW: Final = 10
"""That must name the new release; a load balancer hands them to its tasks in turn. A service of more tasks is not seen whole."""
JOB_SECONDS: Final = 300
_PAUSE_SECONDS: Final = 1.0
_CALL: Final = aiohttp.ClientTimeout(total=10)
_NO_TOKEN: Final = "not.a.token"  # noqa: S105 - that is the point
_SOCKET_PROTOCOL: Final = "darkroom.v1"


async def run(options: argparse.Namespace) -> int:
    """Ask all of it, unless nobody is there; returns the exit code. Raises CannotStart."""
    check_url(options.url)
    photo = _read(options) if options.photo else None
    found: list[Finding] = []
    # A connection for each request: one that is kept would lead to the same task again and again.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), timeout=_CALL) as session:
        stranger = _Stranger(session, options.url)
        for look in _looks(stranger, options, photo):
            finding = await take(look)
            found.append(finding)
            if not options.json:
                tell(sys.stdout, finding)
            if look.part == "alive" and finding.state is State.FAILED:
                break  # whatever else is asked would fail for the same reason
    return sum_up(found, as_json=options.json)


def _read(options: argparse.Namespace) -> Photo:
    try:
        return read_photo(options.photo)
    except (OSError, ValueError) as error:
        raise CannotStart(f"--photo: {error}.") from error


def _looks(stranger: _Stranger, options: argparse.Namespace, photo: Photo | None) -> Sequence[Look]:
    async def alive() -> str:
        return await stranger.alive(options.release, options.within)

    looks = [
        Look(part="alive", take=alive, seconds=options.within + 30),
        Look(part="ready", take=stranger.ready),
        Look(part="API description", take=stranger.described),
        Look(part="page", take=stranger.page),
        Look(part="strangers", take=stranger.refused),
        Look(part="sockets", take=stranger.socket),
    ]
    if URL(options.url).scheme == "https":
        looks.append(Look(part="plain HTTP", take=stranger.redirected))
    if photo is not None:
        looks.append(Look(part="a whole job", take=lambda: _job(options, photo), seconds=JOB_SECONDS))
    return looks


class _Stranger:
    """Somebody without a token. What is wrong is raised as Wrong."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = URL(url)

    async def alive(self, release: str | None, within_seconds: float) -> str:
        """See that the service answers, and wait until so many answers in a row are of the release that is asked for."""
        deadline = asyncio.get_running_loop().time() + within_seconds
        in_a_row = 0
        while True:
            wrong = await self._not_alive(release)
            in_a_row = 0 if wrong else in_a_row + 1
            if in_a_row == (ANSWERS_IN_A_ROW if release else 1):
                return f"{self._url} answers" + (
                    f", {ANSWERS_IN_A_ROW} times in a row as {release}." if release else "."
                )
            if wrong and asyncio.get_running_loop().time() >= deadline:
                raise Wrong(wrong)
            if wrong:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _not_alive(self, release: str | None) -> str:
        try:
            async with self._session.get(self._url / "healthz") as answer:
                said = await answer.json(content_type=None) if answer.status == 200 else {}
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{self._url} does not answer{why(error)}."
        if not isinstance(said, dict) or said.get("status") != "healthy":
            return f"/healthz answers {answer.status} instead of healthy."
        if release and said.get("release") != release:
            return f"What runs is {said.get('release') or 'unnamed'}, and not {release}."
        return ""

    async def ready(self) -> str:
        """See that requests are wanted; what is degraded is a warning."""
        said = await self._json("readyz", 200)
        if degraded := [f"{part['part']} is {part['condition']}" for part in said.get("degraded", [])]:
            raise Wrong(f"It is ready, but {', '.join(degraded)}.", state=State.WARNING)
        return "It wants requests, and nothing is degraded."

    async def described(self) -> str:
        """See that the API is described."""
        said = await self._json("openapi.json", 200)
        if not str(said.get("openapi", "")).startswith("3.1") or not said.get("paths"):
            raise Wrong("/openapi.json is no OpenAPI 3.1.")
        return f"OpenAPI {said['openapi']} of version {said['info']['version']}, {len(said['paths'])} paths."

    async def page(self) -> str:
        """See that browsers get the page, with the headers that protect it."""
        async with self._session.get(self._url, headers={"Accept": "text/html"}) as answer:
            wanted = ["Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"]
            wanted += ["Strict-Transport-Security"] if self._url.scheme == "https" else []
            missing = [name for name in wanted if name not in answer.headers]
            if answer.status != 200 or answer.content_type != "text/html":
                raise Wrong(f"/ answers {answer.status}, {answer.content_type}.")
        if missing:
            raise Wrong(f"The page comes without {', '.join(missing)}.", "Does PUBLIC_URL begin with https?")
        async with self._session.get(self._url / "page/app.js") as answer:
            if answer.status != 200:
                raise Wrong(f"/page/app.js answers {answer.status}.")
        return "It is there, with its headers and its modules."

    async def refused(self) -> str:
        """See that nobody gets in without a token, or with one that is none."""
        for headers in ({}, {"Authorization": f"Bearer {_NO_TOKEN}"}):
            said = await self._json("jobs", 401, headers=headers)
            if said.get("code") != "unauthorized":
                raise Wrong(f"/jobs refuses with {said.get('code')!r} instead of unauthorized.")
        return "They are refused."

    async def socket(self) -> str:
        """See that a socket is opened, and closed for a token that is none: so it came through whatever stands before."""
        protocols = (_SOCKET_PROTOCOL, f"bearer.{_NO_TOKEN}")
        async with self._session.ws_connect(self._url / "ws", protocols=protocols) as socket:
            async for _ in socket:
                pass
        if socket.close_code != CloseCode.UNAUTHORIZED:
            raise Wrong(f"A socket was closed with {socket.close_code} instead of {CloseCode.UNAUTHORIZED:d}.")
        return "They come through."

    async def redirected(self) -> str:
        """See that whoever types the address without https is led there."""
        plain = self._url.with_scheme("http").with_port(80)
        async with self._session.get(plain, allow_redirects=False) as answer:
            led = answer.headers.get("Location", "")
        if answer.status not in (301, 308) or not led.startswith("https://"):
            raise Wrong(f"{plain} answers {answer.status} instead of leading to https.")
        return "It leads to https."

    async def _json(self, path: str, status: int, **request: Any) -> dict[str, Any]:
        async with self._session.get(self._url / path, **request) as answer:
            if answer.status != status:
                raise Wrong(f"/{path} answers {answer.status} instead of {status}.")
            said: dict[str, Any] = await answer.json(content_type=None)
        return said


async def _job(options: argparse.Namespace, photo: Photo) -> str:
    """Have a picture made, hear of it by push, and delete it again."""
    display = Display(sys.stderr)
    try:
        async with open_client(options) as client:
            started = asyncio.get_running_loop().time()
            file_key = await client.upload(photo, lambda _: None)
            job_id = await client.generate(file_key, style="professional", prompt=None)
            job = await follow(client, display, job_id)
            display.clear()
            seconds = asyncio.get_running_loop().time() - started
            if job["status"] != "completed":
                raise Wrong(f"The job {job_id} ended as {job['status']}: {(job.get('failure') or {}).get('message')}")
            await client.fetch(job["outputImageUrl"])
            await client.call("DELETE", f"/jobs/{job_id}")
    except (Refused, Unreachable) as error:
        raise Wrong(f"{str(error).rstrip('.')}.") from error
    return f"A picture was made in {seconds:.0f} s, and deleted."
