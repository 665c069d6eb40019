"""Scale-in protection, asked of a server that speaks the protocol of the ECS agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.scale_in import ProtectionTimes, ScaleInProtection, open_protection

QUICK = ProtectionTimes(look=0.01, idle=0.1, expires=600, call=0.5, after_failure=0.02)
ON, OFF = {"ProtectionEnabled": True, "ExpiresInMinutes": 10}, {"ProtectionEnabled": False}
GRANTED = {"protection": {"ProtectionEnabled": True, "TaskArn": "arn:aws:ecs:eu-west-1:111122223333:task/darkroom/1"}}
REFUSED = {"failure": {"Reason": "DEPLOYMENT_BLOCKED", "Detail": "Service is being deployed."}}


@dataclass(slots=True, kw_only=True, eq=False)
class Agent:
    """The agent of ECS. ``answer`` is its next ones' status and body; without a body it never answers."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    answer: tuple[int, dict[str, Any] | None] = (200, GRANTED)

    async def put(self, request: web.Request) -> web.Response:
        """Note what is asked for."""
        self.asked.append(await request.json())
        self.news.set()
        status, body = self.answer
        if body is None:
            await asyncio.Event().wait()
        return web.json_response(body, status=status)

    async def asked_so_often(self, times: int) -> None:
        """Wait for requests."""
        async with asyncio.timeout(5):
            while len(self.asked) < times:
                self.news.clear()
                await self.news.wait()


@dataclass(slots=True, kw_only=True)
class Work:
    """Whether jobs are in hand."""

    is_under_way: bool = True

    def __call__(self) -> bool:
        """Tell it."""
        return self.is_under_way


@asynccontextmanager
async def protecting(agent: Agent, work: Work, times: ProtectionTimes = QUICK) -> AsyncIterator[ScaleInProtection]:
    """Hold the protection of a task that the agent answers for."""
    app = web.Application()
    app.router.add_put("/api/task-protection/v1/state", agent.put)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        protection = ScaleInProtection(session, str(server.make_url("/api")), work, times)
        protection.start()
        yield protection
        await protection.stop()


async def test_the_task_is_protected_while_jobs_are_in_hand() -> None:
    """Once, and given back only when it has been idle for a while."""
    agent, work = Agent(), Work()
    async with protecting(agent, work):
        await agent.asked_so_often(1)
        work.is_under_way = False
        await agent.asked_so_often(2)

    assert [ON, OFF] == agent.asked[:2]  # a stop amid the second call asks for it once more


async def test_a_protection_that_was_given_back_is_asked_for_until_it_is_granted() -> None:
    """What is refused now was granted before, and given back: that one's time to be renewed is not this one's."""
    agent, work = Agent(), Work()
    async with protecting(agent, work):
        await agent.asked_so_often(1)
        work.is_under_way = False
        await agent.asked_so_often(2)
        agent.answer = (400, REFUSED)
        work.is_under_way = True
        await agent.asked_so_often(4)

    assert [ON, OFF, ON, ON] == agent.asked[:4]


async def test_a_busy_task_renews_its_protection() -> None:
    """Long before it expires; it never has to be asked for anew."""
    agent = Agent()
    async with protecting(agent, Work(), ProtectionTimes(look=0.01, expires=0.1)):
        await agent.asked_so_often(3)

    assert [True] * 3 == [asked["ProtectionEnabled"] for asked in agent.asked[:3]]
    assert 1 == agent.asked[0]["ExpiresInMinutes"]


async def test_an_idle_task_asks_for_nothing() -> None:
    """Not at its end either."""
    agent = Agent()
    async with protecting(agent, Work(is_under_way=False)):
        await asyncio.sleep(0.05)

    assert [] == agent.asked


async def test_a_task_that_leaves_gives_its_protection_back() -> None:
    """While the last jobs are only just done."""
    agent = Agent()
    async with protecting(agent, Work()):
        await agent.asked_so_often(1)

    assert [ON, OFF] == agent.asked


@pytest.mark.parametrize("answer", [(400, REFUSED), (200, REFUSED), (500, {}), (200, None)])
async def test_what_the_agent_answers_harms_nobody(
    answer: tuple[int, dict[str, Any] | None], caplog: pytest.LogCaptureFixture
) -> None:
    """Refused, broken or silent: it is asked again, in the end for nothing any more, and each time there is a line in the log."""
    agent = Agent(answer=answer)
    async with protecting(agent, Work()):
        await agent.asked_so_often(2)

    assert [ON, ON] == agent.asked[:2]
    assert OFF == agent.asked[-1]
    assert {"The scale-in protection could not be set"} == {record.message for record in caplog.records}


async def test_an_agent_that_is_gone_harms_nobody() -> None:
    """As on a machine that is not of ECS."""
    async with aiohttp.ClientSession() as session:
        protection = ScaleInProtection(session, "http://127.0.0.1:1/api", Work(), QUICK)
        protection.start()
        await asyncio.sleep(0.05)
        await protection.stop()


async def test_elsewhere_than_on_ecs_nobody_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    """The setting is no reason not to start."""
    async with AsyncExitStack() as stack:
        assert None is await open_protection(stack, "", Work())

    assert ["There is no agent of ECS to ask"] == [record.message for record in caplog.records]
