"""The chaos run: jobs of several users while the service is killed -9 time and again and its clouds fail, then the books.

python -m benchmarks.chaos [--jobs 1000] [--seconds 120] [--users 20] [--lease 4] [--kill-every 12]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop

from benchmarks import tables
from benchmarks.chaos_report import Recovery, Report
from benchmarks.stage import ROOT
from jobs.control import CancelOutcome
from jobs.ids import JobId, UserId
from jobs.model import Status
from tests.chaos.audit import END_EVENTS, audit
from tests.chaos.stage import Service, Stage, chaos_stage
from tests.faults.messages import Request
from tests.person import Person

GEMINI_SECONDS: Final = 2.0
GEMINI_ERRORS: Final = 0.05
REFUSED_SHARE: Final = 0.02
DUPLICATED_SHARE: Final = 0.1
CANCELED_SHARE: Final = 0.05
CANCEL_WITHIN_SECONDS: Final = 10.0
DELETED_SHARE: Final = 0.02
CUT_SECONDS: Final = 10.0
THROTTLE_SECONDS: Final = 3.0
RETRY_AFTER_SECONDS: Final = 2
GAP_LEASES: Final = 3
"""So long the service stays dead: leases and visibility have run out by then, and others could have taken its work."""
SETTLE_SECONDS: Final = 300
"""What the jobs may take to end once nothing goes wrong any more."""
SHOWN_FAULTS: Final = 20


@dataclass(slots=True, kw_only=True)
class Kill:
    """One death; ``in_hand`` are the jobs that were being worked on, the times are monotonic seconds."""

    in_hand: set[JobId]
    ready_at: float = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """A run under way. ``service`` is the one that was started last; ``ended`` is when each job's end was written."""

    stage: Stage
    options: argparse.Namespace
    service: Service
    wishes_to_cancel: frozenset[int] = frozenset()
    wishes_to_delete: frozenset[int] = frozenset()
    accepted: set[JobId] = field(default_factory=set)
    refused: set[JobId] = field(default_factory=set)
    cancels: dict[JobId, CancelOutcome] = field(default_factory=dict)
    given_back: set[JobId] = field(default_factory=set)
    deleted: set[JobId] = field(default_factory=set)
    ended: dict[JobId, float] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    submit_tries: int = 0

    def choose_wishes(self) -> None:
        """Draw which wishes are given up again: so many, always, in a short run too."""
        jobs = self.options.jobs
        canceled, deleted = round(CANCELED_SHARE * jobs), round(DELETED_SHARE * jobs)
        drawn = random.Random(jobs).sample(range(jobs), canceled + deleted)
        self.wishes_to_cancel, self.wishes_to_delete = frozenset(drawn[:canceled]), frozenset(drawn[canceled:])

    def watch_ends(self) -> None:
        """Note when the service writes the end of a job."""
        self.stage.aws.when(self._note_end)

    def _note_end(self, request: Request) -> bool:
        if request.action == "TransactWriteItems" and any(request.says(f'"{event}"') for event in END_EVENTS):
            job = json.loads(request.body)["TransactItems"][0]["Update"]["Key"]["jobId"]["S"]
            self.ended[JobId(job)] = time.monotonic()
        return False  # only a look: the request is for the other rules

    async def play(self) -> set[UserId]:
        """Submit all jobs over the time while everything goes wrong, let what is left come to its end; return whose they are."""
        # Whoever has signed in and uploaded before the trouble begins only submits during it.
        users = [User(self, number) for number in range(self.options.users)]
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=15)
        ) as session:
            await asyncio.gather(*(user.prepare(session) for user in users))
            await self.stage.reset_simulator_stats()
            async with asyncio.TaskGroup() as group:
                for user in users:
                    group.create_task(user.submit_all(session))
                await self._make_trouble(time.monotonic() + self.options.seconds)
        await self._settle()
        return {user.user_id for user in users}

    async def _make_trouble(self, until: float) -> None:
        """Live through one life of the service after the other; a life is cut short only by its kill, not by the time."""
        for life in itertools.count():
            await self._live(has_cut=life == 0)
            await self._die()
            if time.monotonic() > until:
                return

    async def _live(self, *, has_cut: bool) -> None:
        """Work for a while, be throttled, work, in one life be cut off from AWS, and work on."""
        third = self.options.kill_every / 3
        await asyncio.sleep(third)
        await self._throttle(min(THROTTLE_SECONDS, third))
        await asyncio.sleep(third)
        if has_cut:
            await self.stage.aws.down()
            await asyncio.sleep(CUT_SECONDS)
            await self.stage.aws.up()
        await asyncio.sleep(third)

    async def _throttle(self, seconds: float) -> None:
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{RETRY_AFTER_SECONDS}s"}
        error = {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED", "details": [retry]}
        body = json.dumps({"error": error}).encode()
        rule = self.stage.gemini.when(calls_gemini).status(429, body, content_type="application/json")
        await asyncio.sleep(seconds)
        rule.lift()

    async def _die(self) -> None:
        """Kill the service, leave it dead for longer than its leases live, and start the next one."""
        await self.stage.kill(self.service)
        unfinished = await self._unfinished()
        kill = Kill(in_hand={job_id for job_id, shard in unfinished.items() if shard.startswith(Status.PROCESSING)})
        self.kills.append(kill)
        await asyncio.sleep(GAP_LEASES * self.options.lease)
        self.service = await self.stage.start_service(service_settings(self.options))
        kill.ready_at = time.monotonic()

    async def _unfinished(self) -> dict[JobId, str]:
        """Read which jobs have not ended, and which shard each is in: only they have one, named for their status."""
        pages = self.stage.clients.dynamodb.get_paginator("scan").paginate(
            TableName=self.stage.tables.jobs,
            ConsistentRead=True,
            FilterExpression="attribute_exists(statusShard)",
            ProjectionExpression="jobId, statusShard",
        )
        return {JobId(str(item["jobId"])): str(item["statusShard"]) async for page in pages for item in page["Items"]}

    async def _settle(self) -> None:
        """Wait until every job has ended; what has not by then is counted as lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while await self._unfinished():  # noqa: ASYNC110 - nobody in this process would set an event
                    await asyncio.sleep(1)

    def recoveries(self) -> Iterator[Recovery]:
        """Tell how long each restart took to get back to work."""
        for kill in self.kills:
            ends = [at - kill.ready_at for at in self.ended.values() if at > kill.ready_at]
            lasts = [self.ended[job] - kill.ready_at for job in kill.in_hand if job in self.ended]
            yield Recovery(
                in_hand=len(kill.in_hand),
                first_seconds=min(ends, default=None),
                all_seconds=max((0.0, *lasts)) if lasts else None,
            )


class User:
    """Submits its share of the jobs, each under a key of its own, and sends on until each is accepted."""

    def __init__(self, run: Run, number: int) -> None:
        self._run = run
        self._name = f"chaos-{number}"
        self._chance = random.Random(number)
        self._wishes = range(number, run.options.jobs, run.options.users)
        self._headers: dict[str, str] = {}
        self._file_key = ""
        self.user_id = UserId("")

    async def prepare(self, session: aiohttp.ClientSession) -> None:
        """Sign in and upload, while all is well."""
        url = self._run.service.url
        async with session.post(f"{url}/auth/demo", json={"user": self._name}) as answer:
            answer.raise_for_status()
            token = (await answer.json())["idToken"]
        self._headers = {"Authorization": f"Bearer {token}"}
        person = Person(session, url, token)
        self.user_id = UserId((await person.get("/user/me"))["userId"])
        self._file_key = await person.upload((ROOT / "tests/data/astronaut.png").read_bytes())

    async def submit_all(self, session: aiohttp.ClientSession) -> None:
        """Submit evenly over the time, however long the ones before are still waiting to be accepted."""
        seconds_a_job = self._run.options.seconds / self._run.options.jobs
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for wish in self._wishes:
                await asyncio.sleep(began + wish * seconds_a_job - time.monotonic())
                group.create_task(self._submit(session, wish))

    async def _submit(self, session: aiohttp.ClientSession, wish: int) -> None:
        marker = "[[sim:safety]]" if self._chance.random() < REFUSED_SHARE else ""
        body = {"fileKey": self._file_key, "style": "professional", "prompt": f"job {wish} {marker}"}
        headers = self._headers | {"Idempotency-Key": f"wish-{wish}"}
        while (job_id := await self._try(session, body, headers)) is None:  # noqa: ASYNC110 - it asks, it is not told
            await asyncio.sleep(self._chance.uniform(0.3, 1))
        self._run.accepted.add(job_id)
        if self._chance.random() < DUPLICATED_SHARE:
            await self._duplicate(job_id)
        if wish in self._run.wishes_to_cancel:
            await self._cancel(session, job_id)
        elif wish in self._run.wishes_to_delete:
            await self._delete_when_ended(session, job_id)

    async def _try(self, session: aiohttp.ClientSession, body: dict[str, str], headers: dict[str, str]) -> JobId | None:
        """Return the job's id, or None when one may send the request once more."""
        self._run.submit_tries += 1
        try:
            async with session.post(f"{self._run.service.url}/generate", json=body, headers=headers) as answer:
                if answer.status == 200:
                    return JobId((await answer.json())["jobId"])
                if answer.status == 500:
                    self._run.refused.add(JobId((await answer.json())["jobId"]))
                assert answer.status >= 500 or answer.status == 429, await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            pass  # dead, dying, or cut off
        return None

    async def _cancel(self, session: aiohttp.ClientSession, job_id: JobId) -> None:
        """Cancel the job wherever it is by then. What counts is the answer that arrives, to the first request or a later one."""
        await asyncio.sleep(self._chance.uniform(0, CANCEL_WITHIN_SECONDS))
        answer = await self._insist(session, "POST", f"/jobs/{job_id}/cancel")
        self._run.cancels[job_id] = CancelOutcome(answer["outcome"])
        if answer["givenBack"]:
            self._run.given_back.add(job_id)

    async def _delete_when_ended(self, session: aiohttp.ClientSession, job_id: JobId) -> None:
        with suppress(TimeoutError):  # one that does not end is lost, which the books tell
            async with asyncio.timeout(SETTLE_SECONDS):
                while not (await self._insist(session, "GET", f"/jobs/{job_id}"))["terminal"]:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(1)
                await self._insist(session, "DELETE", f"/jobs/{job_id}")
                self._run.deleted.add(job_id)

    async def _insist(self, session: aiohttp.ClientSession, method: str, path: str) -> dict[str, Any]:
        """Ask until there is an answer other than "not now". A job that is not found has been deleted, by a lost answer too."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):  # dead, dying, or cut off
                async with session.request(method, self._run.service.url + path, headers=self._headers) as answer:
                    if answer.status in (200, 404):
                        body: dict[str, Any] = await answer.json()
                        return body
                    assert answer.status in (429, 503), await answer.text()
            await asyncio.sleep(self._chance.uniform(0.3, 1))

    async def _duplicate(self, job_id: JobId) -> None:
        """Put the job's message into the queue once more, as SQS itself may."""
        body = json.dumps({"jobId": job_id, "userId": self.user_id, "pipeline": "profile-photo"})
        await self._run.stage.clients.sqs.send_message(
            QueueUrl=self._run.stage.queue_url, MessageBody=body, MessageGroupId=self.user_id
        )


def calls_gemini(request: Request) -> bool:
    """Choose the call that makes the picture."""
    return ":generateContent" in request.path


def service_settings(options: argparse.Namespace) -> dict[str, str]:
    """Return what the service of a run is told beyond the stage's own environment."""
    return {
        "LEASE_SECONDS": str(options.lease),
        "GEMINI_TIMEOUT_SECONDS": "10",
        "SWEEP_SECONDS": "2",
        "WORKER_SLOTS": "32",
        "MAX_USER_UNFINISHED": "100000",
        # So few that jobs wait for their turn too, while everything goes wrong.
        "MAX_USER_IN_FLIGHT": "4",
    }


async def measure(options: argparse.Namespace, folder: Path) -> Report:
    """Play a run, its state and the services' logs in the folder, and read its books."""
    began = time.monotonic()
    async with chaos_stage(folder, gemini_latency_seconds=GEMINI_SECONDS, gemini_error_rate=GEMINI_ERRORS) as stage:
        run = Run(stage=stage, options=options, service=await stage.start_service(service_settings(options)))
        run.choose_wishes()
        run.watch_ends()
        users = await run.play()
        # Nothing may be written any more while the books are read, such as a unit that a worker gives back late.
        await stage.kill(run.service)
        return Report(
            accepted=frozenset(run.accepted),
            refused=frozenset(run.refused),
            cancels=run.cancels,
            deleted=frozenset(run.deleted),
            books=await audit(stage.clients, stage.tables, users, run.given_back),
            gemini=await stage.simulator_stats(),
            recoveries=tuple(run.recoveries()),
            submit_tries=run.submit_tries,
            seconds=time.monotonic() - began,
        )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=120, help="how long jobs are submitted and things go wrong")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument(
        "--lease", type=int, default=4, help="seconds, which are also the messages' visibility time-out"
    )
    parser.add_argument("--kill-every", type=float, default=12, help="seconds of work between two kills")
    return parser.parse_args(arguments)


async def main() -> int:
    """Run and print the table; returns 1 when something happened that must not."""
    options = parse()
    folder = Path(tempfile.mkdtemp(prefix="darkroom-chaos-"))
    report = await measure(options, folder)
    lost = [f"{job_id} is lost" for job_id in report.lost]
    faults = (lost + list(report.books.faults))[:SHOWN_FAULTS]
    return tables.conclude(report.rows(), report.zeros, faults, folder)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
