"""What `submit` and `watch` share: who calls, following one job to its end, and saving its picture."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
from yarl import URL

from service.addresses import masked
from service.commands.arguments import DEFAULT_URL, DEMO_USER, FAILED, OK
from service.commands.client import Client, JSONObject, Refused, Token, Unreachable, demo_token, extension_of
from service.commands.client_line import Line
from service.commands.display import Display, describe, stage_of
from service.process import CannotStart

Heard = Callable[[JSONObject], None]


@asynccontextmanager
async def open_client(options: argparse.Namespace) -> AsyncIterator[Client]:
    """Sign in where the options say; SIGTERM cancels, as Ctrl-C does. Raises CannotStart, Refused and Unreachable."""
    check_url(options.url)
    async with aiohttp.ClientSession() as session:
        with _canceled_by_sigterm():
            yield Client(session, options.url, await _token(session, options))


def check_url(text: str) -> None:
    """Refuse what is no address of a service. Raises CannotStart."""
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or url.port == 0:
        raise CannotStart(f"--url {masked(text)} is no http or https address.")
    if url.raw_user is not None or url.raw_password is not None or url.query_string or url.raw_fragment:
        raise CannotStart("--url must be an address alone: no user, no query. The token says who calls.")


@contextmanager
def _canceled_by_sigterm() -> Iterator[None]:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - help mypy
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def _token(session: aiohttp.ClientSession, options: argparse.Namespace) -> Token:
    text = os.environ.get(options.token_env, "").strip()
    if not text.isprintable():
        raise CannotStart(f"What {options.token_env} holds is no token: there is a control character in it.")
    if text and options.demo_user is None:
        return Token(text=text)
    try:
        return await demo_token(session, options.url, options.demo_user or DEMO_USER)
    except Refused as error:
        if error.status not in (401, 403, 404, 405):
            raise
        raise CannotStart(
            f"{options.url} has no demo users. Put an id token into the environment variable {options.token_env}."
        ) from error


async def follow(client: Client, display: Display, job_id: str, heard: Heard = lambda _: None) -> JSONObject:
    """Return the job when it has ended; `heard` is told of it as it was found, and of each change.

    Raises Refused and Unreachable.
    """
    line, followed = Line(client, lambda why: display.say(f"{why} …")), _Followed(job_id)
    async with aclosing(line.messages()) as messages:
        async for message in messages:
            if message["type"] == "snapshot":
                # The line knows its place in the log: nothing that happens after this reading is missed.
                followed.take(await client.job(job_id))
            elif not followed.hear(message):
                continue
            heard(followed.job)
            if followed.job["terminal"]:
                return followed.job
            display.show(describe(followed.job), stage_of(followed.job))
    raise Unreachable(f"{client.url} tells nothing more.")  # the line itself never ends


class _Followed:
    """One job, as far as is known."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.job: JSONObject = {"version": 0, "terminal": False}

    def take(self, job: JSONObject) -> None:
        """Take it as it was read."""
        if job["version"] >= self.job["version"]:
            self.job = job

    def hear(self, message: JSONObject) -> bool:
        """Take what a message says of it; returns whether that was news. Raises Refused when it was deleted."""
        told: JSONObject = message.get("job") or {}
        if told.get("jobId") != self.job_id or told.get("version", 0) < self.job["version"]:
            return False
        match message["type"]:
            case "job.deleted":
                raise Refused("job_not_found", "The job was deleted.", status=404)
            case "job.progress" if _is_behind(message["data"], self.job.get("progress")):
                return False
            case "job.progress":
                progress: JSONObject = {name: told[name] for name in ("status", "queue") if name in told}
                self.job = {**self.job, **progress, "progress": message.get("data")}
                return True
            case _:
                is_news = bool(told["version"] > self.job["version"])
                self.job = told if is_news else self.job
                return is_news


def _is_behind(told: JSONObject, known: JSONObject | None) -> bool:
    """Tell whether it was on its way while the job was read, which was further already."""
    return known is not None and told.get("fraction", 0) < known.get("fraction", 0)


async def finish(client: Client, job: JSONObject, options: argparse.Namespace) -> int:
    """Save the picture of a job that has ended, tell about it, and return the exit code. Raises Refused and Unreachable."""
    failure = _why_not(job)
    try:
        path = None if failure else await _save_picture(client, job, options)
    except OSError as error:
        failure = f"The picture cannot be saved as {error.filename2 or error.filename}: {error.strerror}."
        failure += f" To try again: {watch_command(job['jobId'], options)} --output FILE"
        path = None
    if options.json:
        write(json.dumps(job | ({"savedAs": str(path)} if path else {}), ensure_ascii=False))
    elif not failure:
        write(str(path) if path else json.dumps(job.get("result"), ensure_ascii=False))
    if failure:
        complain(failure)
    return FAILED if failure else OK


def _why_not(job: JSONObject) -> str | None:
    """Return why a job that has ended has no result, or None where it has one."""
    if job["status"] == "completed":
        return None
    failure = job.get("failure") or {}
    return (
        f"{failure.get('code', job['status'])}: {failure.get('message') or job.get('error') or 'The job was canceled.'}"
    )


async def _save_picture(client: Client, job: JSONObject, options: argparse.Namespace) -> Path | None:
    link = job.get("outputImageUrl")
    if not link:
        return None
    kind = str((job.get("result") or {}).get("contentType", ""))
    path: Path = options.output or Path(job["jobId"] + extension_of(kind))
    write_safely(path, await client.fetch(str(link)), overwrite=options.force)
    return path


def check_output(options: argparse.Namespace) -> None:
    """Find out before anything is done that the picture could not be saved. Raises CannotStart."""
    path: Path | None = options.output
    if path is None:
        return
    if path.is_dir():
        raise CannotStart(f"{path} is a folder; --output names a file.")
    if path.exists() and not options.force:
        raise CannotStart(f"{path} is there already; --force overwrites it.")
    if not path.parent.is_dir():
        raise CannotStart(f"There is no folder {path.parent}.")
    if not os.access(path.parent, os.W_OK):
        raise CannotStart(f"Nothing may be written to the folder {path.parent}.")


def watch_command(job_id: str, options: argparse.Namespace) -> str:
    """Return what to type to follow the job from another place."""
    words = ["python -m service watch", job_id]
    words += [f"--url {options.url}"] if options.url != DEFAULT_URL else []
    words += [f"--demo-user {options.demo_user}"] if options.demo_user else []
    return " ".join(words)


def write_safely(path: Path, content: bytes, *, overwrite: bool) -> None:
    """Write the file whole or not at all. Raises FileExistsError, unless it may be overwritten, and OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("xb") as file:
            file.write(content)
        if overwrite:
            draft.replace(path)
        else:
            os.link(draft, path)  # unlike a renaming, it never takes the place of what is there
    finally:
        draft.unlink(missing_ok=True)


def complain(text: str) -> None:
    """Tell the person on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show_failure(error: Refused | Unreachable) -> None:
    """Tell why it does not work: the code and the sentence."""
    complain(f"{error.code}: {error}" if isinstance(error, Refused) else str(error))


def write(text: str) -> None:
    """Write a line to stdout, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
