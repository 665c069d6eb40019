"""What ``user`` does, on the house's own ground: a composition root of its own."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from jobs import clock
from jobs.accounts import Accounts
from jobs.accounts_export import Exports
from jobs.control import Control
from jobs.errors import DarkroomError
from jobs.ids import USER_ID, UserId
from jobs.job_table import JobTable
from jobs.submission import Submission
from service.accounts import open_accounts
from service.commands.arguments import FAILED, OK
from service.commands.following import complain, write
from service.ground import open_ground
from service.log import configure_logging
from service.process import CannotStart, read_settings
from service.settings import Settings

logger = logging.getLogger(__name__)


_OF_SOMEBODY: Final = ("show", "export", "delete")
"""What is nothing where there is no such user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _House:
    """What is needed of it here."""

    settings: Settings
    table: JobTable
    accounts: Accounts
    exports: Exports


async def run(options: argparse.Namespace) -> int:
    """Do what the options say with the user; returns the exit code. Raises CannotStart."""
    if not USER_ID.fullmatch(options.user_id):
        raise CannotStart(f"{options.user_id} is no user's id.")
    if options.action == "delete" and not options.yes:
        raise CannotStart("This erases all that is the user's, for ever; --yes says that it is meant.")
    settings = read_settings({})
    configure_logging(settings.log_level, settings.log_format)
    async with AsyncExitStack() as stack:
        house = await _open(stack, settings)
        try:
            return await _act(house, UserId(options.user_id), options)
        except DarkroomError as error:
            complain(f"{error.code}: {error.message}")
            return FAILED


async def _open(stack: AsyncExitStack, settings: Settings) -> _House:
    ground = await open_ground(stack, settings)
    submission = Submission(ground.table, ground.queue, settings.user_limits())
    control = Control(ground.table, ground.files, submission, ground.bus)
    accounts, exports = open_accounts(
        ground.clients, settings, ground.table, control, ground.webhooks.table, ground.bus
    )
    return _House(settings=settings, table=ground.table, accounts=accounts, exports=exports)


async def _act(house: _House, user_id: UserId, options: argparse.Namespace) -> int:
    is_known = await house.table.users.knows(user_id)
    if not is_known and options.action in _OF_SOMEBODY:
        complain(f"There is no user {user_id}.")
        return FAILED
    if not is_known:
        complain("Nobody has signed in under this id yet; it is kept for when somebody does.")
    match options.action:
        case "show":
            return await _show(house, user_id, options)
        case "export":
            return await _export(house, user_id, options)
        case "delete":
            _note("delete", user_id)
            return await _delete(house, user_id)
        case "limit":
            _note("set_daily_limit", user_id, daily_limit=options.limit)
            await house.table.users.set_daily_limit(user_id, options.limit)
        case _:
            _note(options.action, user_id)
            await house.table.users.set_blocked(user_id, options.action == "block")
    return await _show(house, user_id, options)


def _note(what: str, user_id: UserId, **about: object) -> None:
    """Write the line that the operator's view writes too."""
    extra = {"action": f"operator_{what}", "operator": "command line", "of_user": user_id, **about}
    # Before the act, which may be cut off in its middle; a warning, for it must be found whatever is logged else.
    logger.warning("An operator acts", extra=extra)


async def _show(house: _House, user_id: UserId, options: argparse.Namespace) -> int:
    user = await house.table.users.get(user_id)
    quota = await house.table.quota(user_id, house.settings.user_limits().daily_of(user_id))
    told = asdict(user) | {
        "daily_limit": quota.daily_limit,
        "has_own_limit": user.daily_limit is not None,
        "used_today": quota.used,
        "resets_at": clock.iso(quota.resets_at),
    }
    write(json.dumps(told, ensure_ascii=False) if getattr(options, "json", False) else _as_text(told))
    return OK


def _as_text(told: Mapping[str, object]) -> str:
    def word(value: object) -> object:
        return ("no", "yes")[value] if isinstance(value, bool) else value

    return "\n".join(f"{name.replace('_', ' '):<16}{word(value)}".rstrip() for name, value in told.items())


async def _export(house: _House, user_id: UserId, options: argparse.Namespace) -> int:
    path = _archive_path(user_id, options)
    _note("export", user_id)
    try:
        with _private_file(path, overwrite=options.force) as file:
            async with aclosing(house.exports.archive(user_id)) as chunks:
                async for chunk in chunks:
                    file.write(chunk)
    except OSError as error:
        complain(f"{path} cannot be written: {error.strerror}.")
        return FAILED
    write(str(path))
    return OK


@contextmanager
def _private_file(path: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """Write a file that its owner alone may read, whole or not at all; a link of its name is not followed. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".user-", delete=False) as draft:
        try:
            yield draft
            draft.flush()
            if overwrite:
                Path(draft.name).replace(path)
            else:
                os.link(draft.name, path)  # unlike a renaming, it never takes the place of what is there
        finally:
            Path(draft.name).unlink(missing_ok=True)


def _archive_path(user_id: UserId, options: argparse.Namespace) -> Path:
    path: Path = options.output or Path(f"{user_id}.zip")
    if path.is_dir():
        raise CannotStart(f"{path} is a folder; --output names a file.")
    if path.exists() and not options.force:
        raise CannotStart(f"{path} is there already; --force overwrites it.")
    return path


async def _delete(house: _House, user_id: UserId) -> int:
    is_complete = False
    while not is_complete:
        erased = await house.accounts.erase(user_id)
        is_complete = erased.is_complete
        counts = ", ".join(f"{count} {name}" for name, count in asdict(erased).items() if name != "is_complete")
        sys.stdout.write(f"Erased {counts}{'.' if is_complete else '; there is more …'}\n")
    return OK
