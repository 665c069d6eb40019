"""A rehearsal: a cloud, a bus, a load balancer, tasks and people, and what a deployment does to them."""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import PIL.Image

from deploy.cloud import CloudOptions, embedded_cloud
from jobs import aws
from jobs.ids import UserId
from service.demo_sign_in import OPERATOR, DemoSignIn
from service.settings import Settings
from tests.bus.redis_server import RedisServer
from tests.chaos.audit import Audit, audit
from tests.conftest import CHECKOUT
from tests.image.build import image_root
from tests.image.container import Image
from tests.rehearsal.crowd import REQUEST_SECONDS, WAIT_SECONDS, Ledger, User, act_together, crowd
from tests.rehearsal.fleet import Fleet, Launch, Roll, launch_plainly
from tests.rehearsal.operator import Operator
from tests.rehearsal.proxy import CHECK_SECONDS, CHECKS_TO_TURN, running_proxy
from tests.rehearsal.report import Report, Told

SIZE: Final = 2
GEMINI_SECONDS: Final = 1.0
STOP_TIMEOUT_SECONDS: Final = 20
DEREGISTRATION_SECONDS: Final = CHECK_SECONDS * (CHECKS_TO_TURN + 1) + 1
"""Until the proxy has noticed that a task leaves: it may just have looked when it begins to."""
DELAY_SECONDS: Final = WAIT_SECONDS + 1.5
"""The deregistration delay: longer than any request takes."""
PATIENCE_SECONDS: Final = 8
SETTLE_SECONDS: Final = 30
BREATH_SECONDS: Final = 1.0
PHOTO: Final = CHECKOUT / "tests" / "data" / "wall.jpg"
PHOTO_EDGE: Final = 320
"""Large enough to be worked on, and small enough that the load is not all of it pictures."""


def say(line: str) -> None:
    """Tell whoever waits what happens now; the table alone goes to stdout."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that runs during a rehearsal. ``clients`` reach the cloud past the service."""

    fleet: Fleet
    users: Sequence[User]
    operator: Operator
    clients: aws.Clients
    settings: Settings
    ledger: Ledger = field(default_factory=Ledger)
    rolls: list[Roll] = field(default_factory=list)

    async def play(self, seconds: float, *, is_rude: bool) -> None:
        """Put the load on for so long at least, and meanwhile take tasks away in every way there is; or in the rude one."""
        stop, began = asyncio.Event(), time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(act_together(self.users, stop))
            await asyncio.sleep(BREATH_SECONDS)
            await (self._act_rudely() if is_rude else self._act())
            rest_seconds = max(BREATH_SECONDS, began + seconds - time.monotonic())
            say(f"The load goes on for {rest_seconds:.0f} s …")
            await asyncio.sleep(rest_seconds)
            stop.set()

    async def _act(self) -> None:
        say("Release two is rolled over …")
        self.rolls.append(await self.fleet.roll("two"))
        say("Release three, a bad one, is rolled over and back …")
        self.rolls.append(await self.fleet.roll_bad("three"))
        say("One task leaves by itself …")
        self.rolls.append(await self.fleet.lose_one(self.operator))

    async def _act_rudely(self) -> None:
        say("One task is killed …")
        self.rolls.append(await self.fleet.kill_one())

    async def books(self) -> Audit:
        """Wait until every job has ended and everybody has heard of it, and read the books."""
        ids = {UserId(user.user_id) for user in self.users}
        books = await audit(self.clients, self.settings.tables(), ids)
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while books.unfinished or sum(len(user.listener.ended) for user in self.users) < len(books.jobs):
                    await asyncio.sleep(1)
                    books = await audit(self.clients, self.settings.tables(), ids)
        return books


async def rehearse(options: argparse.Namespace, folder: Path) -> Report:
    """Play it in the folder, whose name must be short: state and logs go there."""
    began = time.monotonic()
    say(f"The cloud, the load balancer and {SIZE} tasks are started; their logs are in {folder} …")
    async with _scene(options, folder) as scene:
        say(f"{options.users} users put load on …")
        await scene.play(options.seconds, is_rude=options.kill)
        say("The last jobs end, and the books are read …")
        books = await scene.books()
    listeners = {user.user_id: user.listener for user in scene.users}
    return Report(
        accepted=frozenset(scene.ledger.accepted),
        books=books,
        told=[
            Told(
                user_id=user_id,
                ended=listener.ended,
                ended_twice=listener.ended_twice,
                lost=listener.lost,
                moves=listener.moves,
                longest_gap_seconds=listener.longest_gap_seconds,
            )
            for user_id, listener in listeners.items()
        ],
        requests=scene.ledger.requests,
        failures=sum((listener.failures for listener in listeners.values()), scene.ledger.failures),
        releases=scene.ledger.releases,
        rolls=scene.rolls,
        start_seconds=scene.fleet.start_seconds,
        stop_timeout_seconds=STOP_TIMEOUT_SECONDS,
        seconds=time.monotonic() - began,
    )


@asynccontextmanager
async def _scene(options: argparse.Namespace, folder: Path) -> AsyncIterator[Scene]:
    launch = launch_plainly if options.plain else await asyncio.to_thread(_image_launcher)
    cloud_options = CloudOptions(data_dir=folder, page_origins=(), gemini_latency_seconds=GEMINI_SECONDS)
    async with AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(embedded_cloud(cloud_options))
        bus_url = await stack.enter_async_context(_bus(folder))
        proxy = await stack.enter_async_context(running_proxy(folder))
        environment = _environment(cloud.environment, bus_url, proxy.url)
        settings = Settings(**{name.lower(): value for name, value in environment.items()})  # type: ignore[arg-type]
        fleet = Fleet(
            proxy=proxy,
            launch=launch,
            settings=environment,
            folder=folder,
            size=SIZE,
            delay_seconds=DELAY_SECONDS,
            patience_seconds=PATIENCE_SECONDS,
        )
        stack.push_async_callback(fleet.take_down)
        await fleet.put_up("one")
        clients = await stack.enter_async_context(aws.open_clients(settings.aws_config()))
        cognito = await stack.enter_async_context(aws.client(settings.aws_config(), "cognito-idp"))
        sign_in, ledger = DemoSignIn(cognito, settings.cognito_user_pool_id, settings.cognito_client_id), Ledger()
        operator = await stack.enter_async_context(_operator((await sign_in.sign_in(OPERATOR)).id_token))
        people = crowd(proxy.url, sign_in, options.users, _small(PHOTO), ledger)
        users = await stack.enter_async_context(people)
        yield Scene(fleet=fleet, users=users, operator=operator, clients=clients, settings=settings, ledger=ledger)


@asynccontextmanager
async def _operator(token: str) -> AsyncIterator[Operator]:
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, timeout=timeout) as session:
        yield Operator(session)


def _small(photo: Path) -> bytes:
    buffer = io.BytesIO()
    with PIL.Image.open(photo, formats=("JPEG",)) as picture:
        picture.thumbnail((PHOTO_EDGE, PHOTO_EDGE))
        picture.save(buffer, "JPEG")
    return buffer.getvalue()


def _image_launcher() -> Launch:
    return Image.read(image_root()).start


def _environment(cloud: Mapping[str, str], bus_url: str, url: str) -> dict[str, str]:
    """Return what each task is told: what a deployment would say, in shorter times."""
    return {
        **cloud,
        "HOST": "127.0.0.1",
        "PORT": "0",
        "METRICS_PORT": "off",
        "PUBLIC_URL": url,
        "TRUSTED_PROXY_HOPS": "1",
        "EVENT_BUS_URL": bus_url,
        "STOP_TIMEOUT_SECONDS": str(STOP_TIMEOUT_SECONDS),
        "DEREGISTRATION_SECONDS": str(DEREGISTRATION_SECONDS),
        "DAILY_LIMIT": "100000",
        "LOG_LEVEL": "WARNING",
        "LOG_FORMAT": "json",
    }


@asynccontextmanager
async def _bus(folder: Path) -> AsyncIterator[str]:
    server = RedisServer(folder)
    await asyncio.to_thread(server.start)
    try:
        yield server.url
    finally:
        await asyncio.to_thread(server.kill)
