"""What ``submit`` does."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from service.commands.arguments import FAILED, OK
from service.commands.client import Client, Photo, Refused, Unreachable, read_photo
from service.commands.display import Display
from service.commands.following import complain, finish, follow, open_client, show_failure, watch_command, write
from service.process import CannotStart

_CANCEL_SECONDS = 10


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
            job = await _followed(client, display, job_id, options)
            display.clear()
            if job["status"] == "completed" and not options.json:
                complain(f"Completed in {display.seconds:.1f} s")
            return await finish(client, job, options)
    except (Refused, Unreachable) as error:
        show_failure(error)
        return FAILED


def _checked(options: argparse.Namespace) -> Photo:
    """Find what cannot work before anything is sent. Raises CannotStart."""
    if options.pipeline == "profile-photo" and not (options.style or options.prompt):
        raise CannotStart("Say --style or --prompt; GET /styles lists the styles.")
    if options.pipeline != "profile-photo" and (options.style or options.prompt):
        raise CannotStart(f"{options.pipeline} takes no --style and no --prompt.")
    if options.output and options.output.exists() and not options.force:
        raise CannotStart(f"{options.output} is there already; --force overwrites it.")
    if options.output and not options.output.parent.is_dir():
        raise CannotStart(f"There is no folder {options.output.parent}.")
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
        return await client.detect_cracks(photo, told)
    file_key = await client.upload(photo, told)
    return await client.generate(file_key, style=options.style, prompt=options.prompt)


async def _followed(client: Client, display: Display, job_id: str, options: argparse.Namespace) -> dict[str, object]:
    try:
        return await follow(client, display, job_id)
    except asyncio.CancelledError:
        display.clear()
        await _part(client, job_id, options)
        raise


async def _part(client: Client, job_id: str, options: argparse.Namespace) -> None:
    """Say what becomes of the job of somebody who leaves."""
    goes_on = f"The job goes on. To follow it: {watch_command(job_id, options)}"
    if not options.cancel_on_interrupt:
        complain(goes_on)
        return
    try:
        async with asyncio.timeout(_CANCEL_SECONDS):
            complain(str((await client.cancel(job_id))["message"]))
    except (Refused, Unreachable, TimeoutError):
        complain(f"It could not be canceled. {goes_on}")
