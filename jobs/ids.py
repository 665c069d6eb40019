"""Identifiers of users, their devices, jobs and events."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final, NewType

from jobs import clock

JobId = NewType("JobId", str)
UserId = NewType("UserId", str)
EventId = NewType("EventId", str)

USER_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:|@+=-]{0,254}")
"""What a user may be called: it is a folder's name in keys of files, and ends at the slash behind it."""
JOB_ID: Final = re.compile(r"job_[A-Za-z0-9_-]{1,64}")
DEVICE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a user may call what photos are taken with."""
_ANONYMOUS = "anonymous-"


def anonymous_user(address: str) -> UserId:
    """Name the user who calls without a token from an address.

    The name does not show the address, but it is no secret kept: whoever has the name finds an IPv4 address by hashing them all.
    """
    return UserId(_ANONYMOUS + hashlib.sha256(address.encode()).hexdigest()[:32])


def is_anonymous(user_id: str) -> bool:
    """Tell whether this is the name of a user without a token; no token may claim it."""
    return user_id.startswith(_ANONYMOUS)


def new_job_id() -> JobId:
    """Return ``job_`` and 28 hex digits that sort by time of creation and cannot be guessed."""
    return JobId(f"job_{clock.now_milliseconds():012x}{secrets.token_hex(8)}")


class EventIds:
    """Makes ids whose text order is the order of their making: 12 hex digits of milliseconds, then 16 that grow within one.

    The tail starts at random in each millisecond, so two processes do not meet; the clock never goes back here.
    """

    def __init__(self) -> None:
        self._millisecond = 0
        self._tail = 0

    def next(self) -> EventId:
        """Return an id greater than every one made before by this object."""
        now = clock.now_milliseconds()
        if now > self._millisecond:
            self._millisecond, self._tail = now, secrets.randbits(63)
        else:
            self._tail += 1
        return EventId(f"{self._millisecond:012x}{self._tail:016x}")
