"""A socket that is held, as a browser's client holds it: it answers pings, comes back, resumes and renews its token."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import gevent
import websocket
from gevent.event import Event

from kit.ledger import Ledger
from kit.memory import Memory

CONNECT_SECONDS: Final = 15
SILENT_SECONDS: Final = 10
"""How much later than promised a ping may be before the line counts as dead."""
FIRST_PAUSE_SECONDS: Final = 0.5
MOST_PAUSE_SECONDS: Final = 30.0
BUSY_SECONDS: Final = 5
FINAL_CODES: Final = frozenset({1000, 1009, 4400, 4403})
BUSY_CODES: Final = frozenset({4429, 4503, 429, 503})
REFUSED_TOKEN: Final = 4401
NO_CODE: Final = 1006


class Cut(Exception):
    """The line was cut on purpose."""


class Line:
    """Holds one socket in a greenlet of its own until ``close``; what it is told goes into its memory."""

    def __init__(
        self, url: str, *, token: Callable[[], str], renew: Callable[[], None], ledger: Ledger, row: Callable[..., None]
    ) -> None:
        """Hold a socket at a service's address; ``renew`` makes ``token`` give another one."""
        self._url = url.replace("http", "ws", 1).rstrip("/") + "/ws"
        self._token = token
        self._renew = renew
        self._ledger = ledger
        self._row = row
        self.memory = Memory()
        self.ready = Event()
        """Set while the line is up and all that was missed has been told."""
        self._lost_at = time.monotonic()
        self._failures = 0
        self._has_been_up = False
        self._socket: websocket.WebSocket | None = None
        self._greenlet = gevent.spawn(self._run)

    def cut(self) -> bool:
        """Break the connection without a word; the line comes back by itself. Returns False if it was not up."""
        was_up: bool = self.ready.is_set()
        if was_up:
            self._greenlet.kill(Cut(), block=False)
        return was_up

    def close(self) -> None:
        """Leave for good, and hand the memory's counts to the ledger."""
        self._greenlet.kill()
        self._ledger.counts.update(self.memory.counts)

    def _run(self) -> None:
        while True:
            code = self._hold()
            self.ready.clear()
            self._lost_at = time.monotonic()
            if code in FINAL_CODES:
                return
            if code == REFUSED_TOKEN:
                self._renew()
            with suppress(Cut):  # meant for the connection that has been lost meanwhile
                gevent.sleep(self._pause(code))

    def _hold(self) -> int:
        """Connect and read until the connection ends; return the code it ended with."""
        try:
            return self._read(self._connect())
        except Cut:
            return NO_CODE
        except websocket.WebSocketBadStatusException as error:
            return self._lost(error, int(error.status_code))
        except (websocket.WebSocketException, OSError, ValueError, KeyError) as error:
            # The last two: a frame that cannot be read.
            return self._lost(error, NO_CODE)
        finally:
            if self._socket is not None:
                self._socket.shutdown()  # type: ignore[no-untyped-call]
                self._socket = None

    def _lost(self, error: Exception, code: int) -> int:
        self._ledger.count("disconnects")
        self._row("WS", "lost", 0.0, error)
        return code

    def _connect(self) -> websocket.WebSocket:
        since = f"?since={self.memory.cursor}" if self.memory.cursor else ""
        began = time.monotonic()
        self._socket = websocket.create_connection(
            self._url + since,
            timeout=CONNECT_SECONDS,
            header=[f"Authorization: Bearer {self._token()}"],
            subprotocols=["darkroom.v1"],
            suppress_origin=True,
        )
        self._row("WS", "connect", time.monotonic() - began)
        return self._socket

    def _read(self, socket: websocket.WebSocket) -> int:
        while True:
            opcode, data = socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                code = int.from_bytes(data[:2], "big") if len(data) >= 2 else NO_CODE
                self._lost(ConnectionError(f"closed with {code}"), code)
                return code
            self._heed(socket, json.loads(data))

    def _heed(self, socket: websocket.WebSocket, message: dict[str, Any]) -> None:
        self.memory.take(message, time.monotonic())
        match message["type"]:
            case "welcome":
                socket.settimeout(message["data"]["pingSeconds"] + SILENT_SECONDS)
                # Answered when all that was missed has been told.
                socket.send(json.dumps({"type": "ping"}))
            case "ping":
                self._heed_ping(socket, message["data"].get("newestId") or "")
            case "auth.expiring":
                self._renew()
                socket.send(json.dumps({"type": "auth", "token": self._token()}))
            case "reconnect":
                gevent.spawn_later(message["data"]["afterMs"] / 1000, self.cut)

    def _heed_ping(self, socket: websocket.WebSocket, newest_id: str) -> None:
        if not self.ready.is_set():
            self._arrive()
            return
        self._ledger.count("pings")
        if self.memory.has_gap(newest_id):
            socket.send(json.dumps({"type": "resume", "since": self.memory.cursor}))

    def _arrive(self) -> None:
        seconds = time.monotonic() - self._lost_at
        if self._has_been_up:
            self._ledger.took("resumed", seconds)
            self._row("WS", "resumed", seconds)
        else:
            self._ledger.count("sockets")
        self._has_been_up = True
        self._failures = 0
        self.ready.set()

    def _pause(self, code: int) -> float:
        ceiling = min(MOST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._failures)
        self._failures += 1
        # Full jitter: a whole crowd that was cut at once must not come back at once, time after time.
        return random.uniform(0, ceiling) + (BUSY_SECONDS if code in BUSY_CODES else 0)
