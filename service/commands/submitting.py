"""What ``submit`` does."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from service.commands.arguments import FAILED, OK
from service.commands.client import Client, Photo, Refused, Unreachable, read_photo
from service.commands.display import Display
from service.commands.following import (
    check_output,
    complain,
    finish,
    follow,
    open_client,
    show_failure,
    watch_command,
    write,
)
from service.process import CannotStart

_LEAVE_SECONDS = 10


async def run(options: argparse.Namespace) -> int:
    """Submit, wait and save; returns the exit code. Raises CannotStart."""
    photo, display = _checked(options), Display(sys.stderr)
    try:
        async with open_client(options) as client, display.ticking():
            job_id = await _start(client, photo, options, display)
            if options.no_wait:
                display.clear()
                write(json.dumps({"jobId": job_id}) if options.json else job_id)
                return OK
            try:
                return await _see_through(client, display, job_id, options)
            except asyncio.CancelledError:
                display.clear()
                await _part(client, job_id, options)
                raise
    except (Refused, Unreachable) as error:
        show_failure(error)
        return FAILED


def _checked(options: argparse.Namespace) -> Photo:
    """Find what cannot work before anything is sent. Raises CannotStart."""
    if options.pipeline == "profile-photo" and not (options.style or options.prompt):
        raise CannotStart("Say --style or --prompt; GET /styles lists the styles.")
    if options.pipeline != "profile-photo" and (options.style or options.prompt):
        raise CannotStart(f"{options.pipeline} takes no --style and no --prompt.")
    check_output(options)
    try:
        return read_photo(options.photo)
    except OSError as error:
        raise CannotStart(f"{options.photo} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise CannotStart(f"{error}.") from error


async def _start(client: Client, photo: Photo, options: argparse.Namespace, display: Display) -> str:
    def told(fraction: float) -> None:
        display.show(f"Uploading {photo.name}" + (f" {fraction:.0%}" if fraction else ""), "uploading")

    told(0)
    if options.pipeline == "crack-detection":
        starting = client.detect_cracks(photo, told)
    else:
        file_key = await client.upload(photo, told)
        starting = client.generate(file_key, style=options.style, prompt=options.prompt)
    asked = asyncio.create_task(starting, name="start the job")
    try:
        return await asyncio.shield(asked)
    except asyncio.CancelledError:
        display.clear()
        await _part_early(client, asked, options)
        raise


async def _part_early(client: Client, asked: asyncio.Task[str], options: argparse.Namespace) -> None:
    """Wait for the id of the job of somebody who leaves, for it may be made already."""
    complain("The job was asked for; its id is waited for. Another Ctrl-C leaves at once.")
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            job_id = await asked
    except Refused as error:
        show_failure(error)  # then there is none
    except (Unreachable, TimeoutError):
        complain("Whether it was made is not known: python -m service watch shows what there is.")
    else:
        await _part(client, job_id, options)


async def _see_through(client: Client, display: Display, job_id: str, options: argparse.Namespace) -> int:
    job = await follow(client, display, job_id)
    display.clear()
    if job["status"] == "completed" and not options.json:
        complain(f"Completed in {display.seconds:.1f} s")
    return await finish(client, job, options)


async def _part(client: Client, job_id: str, options: argparse.Namespace) -> None:
    """Say what becomes of the job of somebody who leaves."""
    goes_on = f"The job goes on. To follow it: {watch_command(job_id, options)}"
    if not options.cancel_on_interrupt:
        complain(goes_on)
        return
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            complain(str((await client.cancel(job_id))["message"]))
    except Refused as error:  # it has ended meanwhile, if nothing else
        complain(f"{str(error).rstrip('.')}. It was not canceled. To see it: {watch_command(job_id, options)}")
    except (Unreachable, TimeoutError):
        complain(f"It could not be canceled. {goes_on}")
