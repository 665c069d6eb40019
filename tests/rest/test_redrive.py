"""``python -m service redrive``, really run against queues of the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from jobs import clock, moves
from jobs.aws import Clients
from jobs.events import InProcessBus
from jobs.ids import JobId, UserId, new_job_id
from jobs.job_table import JobTable, Tables
from jobs.model import Charge, Job, Status
from jobs.work_queue import WorkQueue
from service.process import VERSION
from tests.conftest import CHECKOUT
from tests.jobs import story
from tests.rest.test_settings import NEEDED

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOTHING = {"brought back": 0, "sent again": 0, "over": 0, "not ours": 0, "not moved": 0, "letters": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How the command ended, and what it wrote."""

    code: int
    told: str
    log: str

    @property
    def counts(self) -> dict[str, int]:
        """Read the table."""
        rows = (re.match(r"([a-z ]+?) +(\d+)", line) for line in self.told.splitlines())
        return {row[1]: int(row[2]) for row in rows if row}


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """A jobs queue and its dead letters, empty at first."""

    clients: Clients
    tables: Tables
    environment: Mapping[str, str]
    user: UserId
    table: JobTable
    queue_url: str
    dead_url: str

    async def redrive(self, *arguments: str, **changes: str) -> Said:
        """Run the command."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "redrive", *arguments),
            cwd=CHECKOUT,
            env={"PATH": os.environ["PATH"], **self.environment, **changes},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(50):
            told, log = await process.communicate()
        return Said(code=process.returncode or 0, told=told.decode(), log=log.decode())

    async def failed(self, *, keeps_charge: bool = False) -> Job:
        """Make a job that failed at its worker and died in the queue."""
        job = await story.claim(self.table, await story.stored(self.table, self.user))
        now = clock.now_milliseconds()
        job = await self.table.apply(job, moves.failed(story.FAILURE, now, owner="me", keeps_charge=keeps_charge))
        return await self.bury(job)

    async def bury(self, job: Job) -> Job:
        """Put the job's message among the dead."""
        queue = WorkQueue(self.clients.sqs, self.clients.receiver, url=self.dead_url, visibility_seconds=20)
        await queue.send(job)
        return job

    async def post(self, body: str) -> None:
        """Put a letter of somebody else's there."""
        await self.clients.sqs.send_message(QueueUrl=self.dead_url, MessageBody=body)

    async def messages(self) -> list[tuple[str, str]]:
        """Take all messages off the jobs queue: their jobs and groups."""
        return [(json.loads(body)["jobId"], group) for body, group in await self._all(self.queue_url)]

    async def letters(self) -> list[str]:
        """Take all that is visible of the dead letters: their bodies."""
        return sorted(body for body, _ in await self._all(self.dead_url))

    async def _all(self, url: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while True:
            answer = await self.clients.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["MessageGroupId"]
            )
            if not (taken := answer.get("Messages", [])):
                return found
            for message in taken:
                await self.clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                found.append((message["Body"], message.get("Attributes", {}).get("MessageGroupId", "")))

    async def usage(self) -> tuple[int, int]:
        """Read what the user has taken and is charged."""
        return await story.usage(self.clients, self.tables, self.user)

    async def row(self) -> tuple[int, int]:
        """Read how many jobs the user has unfinished and in flight."""
        answer: Any = await self.clients.dynamodb.get_item(
            TableName=self.tables.users, Key={"userId": self.user}, ConsistentRead=True
        )
        return int(answer["Item"]["unfinishedJobs"]), int(answer["Item"]["jobsInFlight"])


@pytest_asyncio.fixture(loop_scope="session")
async def yard(clients: Clients, tables: Tables, cloud_environment: Mapping[str, str], user: UserId) -> Yard:
    """Open the queues."""
    name = new_job_id()
    queue_url = (await clients.sqs.create_queue(QueueName=name))["QueueUrl"]
    dead_url = (await clients.sqs.create_queue(QueueName=f"{name}-dead"))["QueueUrl"]
    return Yard(
        clients=clients,
        tables=tables,
        environment={**cloud_environment, "SQS_QUEUE_URL": queue_url, "SQS_DLQ_URL": dead_url},
        user=user,
        table=JobTable(clients.dynamodb, tables, InProcessBus()),
        queue_url=queue_url,
        dead_url=dead_url,
    )


async def test_a_failed_job_waits_in_the_queue_again(yard: Yard) -> None:
    """It is charged again, its owner is told, and it is the owner's message, as at first."""
    job = await yard.failed()
    before = await yard.usage()
    said = await yard.redrive()
    again = await yard.table.get(job.job_id)

    assert (0, NOTHING | {"brought back": 1, "letters": 1}) == (said.code, said.counts), said
    assert (0, 0) == before
    assert (1, 1) == await yard.usage() == await yard.row()
    assert (Status.QUEUED, job.version + 1, 0, None, Charge.CHARGED) == (
        again.status,
        again.version,
        again.attempt,
        again.failure,
        again.charge,
    )
    assert ("job.queued", again.version) == (await story.events(yard.clients, yard.tables, yard.user))[-1]
    assert [(job.job_id, yard.user)] == await yard.messages()
    assert [] == await yard.letters()


async def test_a_job_that_kept_its_charge_is_not_charged_again(yard: Yard) -> None:
    """It paid for the try that failed, and is tried again for it."""
    await yard.failed(keeps_charge=True)
    said = await yard.redrive()

    assert 1 == said.counts["brought back"]
    assert (1, 1) == await yard.usage()


async def test_a_job_that_was_brought_back_can_be_done(yard: Yard) -> None:
    """A worker claims and completes it like any other."""
    job = await yard.failed()
    await yard.redrive()
    done = await story.complete(yard.table, await story.claim(yard.table, await yard.table.get(job.job_id)))

    assert Status.COMPLETED is done.status
    assert ((1, 1), (0, 0)) == (await yard.usage(), await yard.row())


async def test_each_letter_gets_what_its_job_needs(yard: Yard) -> None:
    """The living get a message, the dead are thrown away, and what is not ours stays, visible at once."""
    queued = await yard.bury(await story.stored(yard.table, yard.user))
    held = await yard.bury(await story.claim(yard.table, await story.stored(yard.table, yard.user)))
    completed = await story.complete(
        yard.table, await story.claim(yard.table, await story.stored(yard.table, yard.user))
    )
    await yard.bury(completed)
    canceled = await yard.table.apply(await story.stored(yard.table, yard.user), moves.canceled_if(lambda _: False, 1))
    await yard.bury(canceled)
    deleted = await yard.failed()
    await yard.table.delete(deleted)
    await yard.bury(replace(completed, job_id=JobId("job_nobody_knows")))
    for body in ("hello", '{"Records": []}'):
        await yard.post(body)
    said = await yard.redrive()

    assert (0, NOTHING | {"sent again": 2, "over": 3, "not ours": 3, "letters": 8}) == (said.code, said.counts), said
    assert 2 == said.log.count("A dead letter is not ours")
    assert 1 == said.log.count("A dead letter names a job that never was")
    assert {queued.job_id, held.job_id} == {job_id for job_id, _ in await yard.messages()}
    assert 3 == len(await yard.letters())
    for job in (queued, held, completed, canceled):
        assert job == await yard.table.get(job.job_id)


async def test_a_dry_run_changes_nothing(yard: Yard) -> None:
    """It says what would happen, and the letters are visible at once."""
    job = await yard.failed()
    await yard.bury(await story.stored(yard.table, yard.user))
    await yard.post("hello")
    said = await yard.redrive("--dry-run")

    assert (0, NOTHING | {"brought back": 1, "sent again": 1, "not ours": 1, "letters": 3}) == (said.code, said.counts)
    assert said.told.startswith("A dry run: nothing was changed.")
    assert job == await yard.table.get(job.job_id)
    assert [] == await yard.messages()
    assert 3 == len(await yard.letters())


async def test_a_limit_leaves_the_others(yard: Yard) -> None:
    """Foreign letters do not use it up."""
    for number in range(12):
        await yard.post(f"foreign {number}")
    for _ in range(3):
        await yard.failed()
    said = await yard.redrive("--limit", "2")

    assert (0, 2) == (said.code, said.counts["brought back"]), said
    assert 2 == len(await yard.messages())
    assert 13 == len(await yard.letters())


async def test_no_letters_is_no_work(yard: Yard) -> None:
    """It ends."""
    said = await yard.redrive()

    assert (0, NOTHING) == (said.code, said.counts)


async def test_more_letters_than_a_poll_takes_are_all_settled(yard: Yard) -> None:
    """Elsewhere than on a terminal the log tells of every hundred."""
    job = await story.stored(yard.table, yard.user)
    for _ in range(101):
        await yard.bury(job)
    said = await yard.redrive()

    assert (0, 101) == (said.code, said.counts["sent again"])
    assert [100] == [json.loads(line)["done"] for line in said.log.splitlines() if "redrive_progress" in line]


async def test_a_death_before_the_message_was_sent_is_made_good(yard: Yard) -> None:
    """The job waits already and its letter is still there: it gets its message, and no second charge."""
    job = await yard.failed()
    await yard.table.apply(job, moves.brought_back(clock.now_milliseconds()))
    said = await yard.redrive()

    assert (0, 1) == (said.code, said.counts["sent again"])
    assert (1, 1) == await yard.usage() == await yard.row()
    assert [(job.job_id, yard.user)] == await yard.messages()


async def test_two_at_once_charge_once(yard: Yard) -> None:
    """Two letters of one job in two hands: one brings it back, the other makes a second message at worst."""
    job = await yard.failed()
    await yard.bury(job)
    both = await asyncio.gather(yard.redrive("--limit", "1"), yard.redrive("--limit", "1"))

    assert [0, 0] == [said.code for said in both]
    assert (1, 1) == await yard.usage() == await yard.row()
    assert {(job.job_id, yard.user)} == set(await yard.messages())
    assert [] == await yard.letters()


async def test_what_cannot_be_sent_stays_and_is_moved_the_next_time(yard: Yard) -> None:
    """Exit code 1; the job was brought back already, so the second run only sends it."""
    job = await yard.failed()
    first = await yard.redrive(SQS_QUEUE_URL=f"{yard.queue_url}-not")
    second = await yard.redrive()

    assert (1, NOTHING | {"not moved": 1, "letters": 1}) == (first.code, first.counts)
    assert "A dead letter could not be moved" in first.log
    assert (0, NOTHING | {"sent again": 1, "letters": 1}) == (second.code, second.counts)
    assert (1, 1) == await yard.usage()
    assert [(job.job_id, yard.user)] == await yard.messages()


async def test_it_gives_up_when_nothing_can_be_moved(yard: Yard) -> None:
    """Ten letters in a row are enough to know; all of them stay."""
    job = await story.stored(yard.table, yard.user)
    for _ in range(12):
        await yard.bury(job)
    said = await yard.redrive(SQS_QUEUE_URL=f"{yard.queue_url}-not")

    assert (1, 10) == (said.code, said.counts["not moved"])
    assert "Stopped: 10 letters in a row could not be moved." in said.log
    assert 12 == len(await yard.letters())


async def test_a_dead_letter_queue_that_is_not_there_is_said(yard: Yard) -> None:
    """It is nothing that a log line in JSON should hide."""
    said = await yard.redrive(SQS_DLQ_URL=f"{yard.dead_url}-not")

    assert (1, NOTHING) == (said.code, said.counts)
    assert re.search(r"^Stopped: AWS refuses: \S+\.$", said.log, re.MULTILINE)


async def test_a_terminal_sees_a_line_that_renews_itself(yard: Yard) -> None:
    """And no trace of it in the end."""
    for _ in range(3):
        await yard.failed()
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "redrive"),
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], **yard.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    async with asyncio.timeout(50):
        await process.communicate()
    seen = os.read(leader, 10_000).decode()
    os.close(leader)

    assert "".join(f"\r\x1b[K{done} of about 3 letters\r" for done in (1, 2, 3)) + "\r\x1b[K\r" == seen


async def test_a_signal_stops_it_between_two_letters(yard: Yard) -> None:
    """What was settled is told, the rest is visible at once."""
    job = await story.stored(yard.table, yard.user)
    for _ in range(300):
        await yard.bury(job)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "redrive"),
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], **yard.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    async with asyncio.timeout(50):
        await process.stderr.readuntil(b"redrive_progress")
        process.terminate()
        told, log = await process.communicate()
    said = Said(code=process.returncode or 0, told=told.decode(), log=log.decode())

    assert 1 == said.code
    assert "Stopped by a signal." in said.log
    assert 100 <= said.counts["sent again"] < 300
    assert 300 - said.counts["sent again"] == len(await yard.letters())
    assert said.counts["sent again"] == len(await yard.messages())


async def refusal(*arguments: str, **environment: str) -> str:
    """Run the command line, which must end with exit code 2, and return what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"]} | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        told, said = await process.communicate()
    assert (2, b"") == (process.returncode, told), said
    return said.decode()


async def test_settings_that_do_not_work_end_it_with_2() -> None:
    """One line each, as for the service itself."""
    assert "SQS_DLQ_URL is missing: it names the queue to redrive.\n" == await refusal("redrive", **NEEDED)
    assert "SQS_QUEUE_URL is missing" in (await refusal("redrive")).splitlines()


@pytest.mark.parametrize(
    "arguments", [("--embedded", "redrive"), ("redrive", "--limit", "0"), ("redrive", "--limit", "many"), ("bury",)]
)
async def test_a_command_line_that_means_nothing_ends_it_with_2(arguments: tuple[str, ...]) -> None:
    """Before any setting is read."""
    assert "usage: python -m service" in await refusal(*arguments)


async def test_the_version_is_the_project_s() -> None:
    """It is told without any settings."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION
