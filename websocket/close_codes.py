"""Why a socket is closed: every close code, with what a client should do next beside it."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """A close code of the protocol.

    ``meaning`` is the sentence for a person, ``reconnect`` what the client should do. ``error`` is the stable code of the
    ``error`` message that goes before it, or empty where there is none.
    """

    meaning: str
    reconnect: str
    error: str

    def __new__(cls, value: int, meaning: str, reconnect: str, error: str = "") -> CloseCode:
        """Build a member of one row of the table below."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.reconnect = reconnect
        member.error = error
        return member

    NORMAL = 1000, "Normal", "no"
    TOO_LARGE = 1009, "The frame is too large", "no"
    RESTART = 1012, "The service restarts", "yes, now"
    SLOW = 4208, "The client reads too slowly", "yes, with your cursor"
    BAD_FRAME = 4400, "The frame was not understood", "no", "invalid_request"
    UNAUTHORIZED = 4401, "The token is missing, refused or expired", "with a fresh token", "unauthorized"
    FORBIDDEN = 4403, "This is forbidden", "no", "forbidden"
    NO_HELLO = 4408, "No hello came in time", "with a hello", "unauthorized"
    TOO_MANY = 4429, "Too many connections or messages", "after a while", "too_many_requests"
    OVERLOADED = 4503, "The service is overloaded", "after a while", "unavailable"


class Disconnect(Exception):
    """Ends a connection with a close code; raised inside its session and caught once, where the connection runs.

    ``error`` is the stable code of the message that goes before, where it says more than the close code's own.
    """

    def __init__(self, code: CloseCode, message: str | None = None, error: str | None = None) -> None:
        super().__init__(message or code.meaning)
        self.code = code
        self.error = error or code.error

    @property
    def message(self) -> str:
        """The sentence for a person."""
        return str(self)
