"""What ``watch`` does."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import aclosing
from datetime import datetime

from service.commands.arguments import FAILED, OK
from service.commands.client import Client, JSONObject, Refused, Unreachable
from service.commands.client_line import Line
from service.commands.display import Display, describe, stage_of
from service.commands.following import check_output, complain, finish, follow, open_client, show_failure, write
from service.process import CannotStart

_PAGE = 100


async def run(options: argparse.Namespace) -> int:
    """Follow one job, or all; returns the exit code. Raises CannotStart."""
    if options.job_id and options.all:
        raise CannotStart("Say a job or --all, not both.")
    if options.job_id and not options.json:
        check_output(options)
    try:
        async with open_client(options) as client:
            return await (_watch_one(client, options) if options.job_id else _watch_all(client, options))
    except (Refused, Unreachable) as error:
        show_failure(error)
        return FAILED


async def _watch_one(client: Client, options: argparse.Namespace) -> int:
    if options.json:
        job = await follow(client, Display(sys.stderr, is_quiet=True), options.job_id, _write_json)
        return OK if job["status"] == "completed" else FAILED
    display = Display(sys.stderr)
    async with display.ticking():
        job = await follow(client, display, options.job_id)
        display.clear()
        return await finish(client, job, options)


def _write_json(job: JSONObject) -> None:
    write(json.dumps(job, ensure_ascii=False))


async def _watch_all(client: Client, options: argparse.Namespace) -> int:
    watched, line = _Watched(), Line(client, lambda why: complain(f"{why} …"))
    async with aclosing(line.messages()) as messages:
        async for message in messages:
            for job in await _news(client, watched, message):
                _write_json(job) if options.json else write(_as_text(job))
            if options.all and message["type"] == "snapshot":
                complain("Watching all your jobs; Ctrl-C ends it")
            if watched.is_over and not options.all:
                return OK
    raise Unreachable(f"{client.url} tells nothing more.")  # the line itself never ends


async def _news(client: Client, watched: _Watched, message: JSONObject) -> list[JSONObject]:
    """Return the jobs that have changed by this message."""
    match message["type"]:
        case "snapshot":
            found = message["data"]["jobs"]
            found += await _open_jobs(client) if message["data"]["hasMore"] else []
            watched.begin()
            return [job for job in found if watched.found(job)]
        case "job.deleted":
            watched.forget(message["job"]["jobId"])
            return []
        case "job.progress":
            return watched.progressed(message["job"], message["data"])
        case _:
            job = message.get("job")
            return [job] if job and watched.changed(job) else []


async def _open_jobs(client: Client) -> list[JSONObject]:
    found: list[JSONObject] = []
    for status in ("pending", "queued", "processing"):
        cursor: str | None = ""
        while cursor is not None:
            page = await client.call(
                "GET", f"/jobs?limit={_PAGE}&status={status}" + (f"&cursor={cursor}" if cursor else "")
            )
            found += page["jobs"]
            cursor = page.get("nextCursor")
    return found


class _Watched:
    """The newest that is known of the jobs that have not ended, and the versions of all."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._open: dict[str, JSONObject] = {}
        self._has_begun = False

    @property
    def is_over(self) -> bool:
        """Tell whether all have ended, once it is known which there are."""
        return self._has_begun and not self._open

    def begin(self) -> None:
        """Know from now on which there are."""
        self._has_begun = True

    def found(self, job: JSONObject) -> bool:
        """Take a job of a snapshot; returns whether to show it: what had ended before anybody watched is no news."""
        was_known = job["jobId"] in self._versions
        return self.changed(job) and (was_known or not job["terminal"])

    def changed(self, job: JSONObject) -> bool:
        """Take a job; returns whether it is news."""
        job_id = job["jobId"]
        if job["version"] <= self._versions.get(job_id, 0):
            return False
        self._versions[job_id] = job["version"]
        if job["terminal"]:
            self._open.pop(job_id, None)
        else:
            self._open[job_id] = job
        return True

    def progressed(self, told: JSONObject, progress: JSONObject) -> list[JSONObject]:
        """Take how far a job is; returns it when it has come to another stage."""
        before = self._open.get(told["jobId"])
        if before is None or told["version"] < before["version"]:
            return []
        place = {"queue": told["queue"]} if "queue" in told else {}
        after = {**before, **place, "progress": progress}
        self._open[told["jobId"]] = after
        return [after] if stage_of(after) != stage_of(before) else []

    def forget(self, job_id: str) -> None:
        """Let go of a job that was deleted."""
        self._open.pop(job_id, None)


def _as_text(job: JSONObject) -> str:
    now = datetime.now().astimezone().strftime("%H:%M:%S")
    failure = f": {job['failure']['message']}" if job.get("failure") else ""
    return f"{now}  {job['jobId']}  {job['pipeline']:<15}  {describe(job)}{failure}"
