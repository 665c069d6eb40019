"""The AWS emulator behind a guard: loopback, one random key, no foreign pages, state kept, gone with its parent.

Runs in the emulator's own environment as `python -I deploy/emulator.py --data-dir DIR [--port N] [--origin URL ...]`,
with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set. Prints one JSON line: {"port", "pid"} or {"error"}.
"""

# MiniStack reads its settings when it is imported, and saving while it runs has no public name.
# ruff: noqa: PLC0415, SLF001

import argparse
import asyncio
import contextlib
import ctypes
import fcntl
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import IO, NoReturn
from urllib.parse import parse_qs

ARGUMENTS = argparse.ArgumentParser(description=__doc__)
ARGUMENTS.add_argument("--data-dir", type=Path, required=True, help="where state is kept; one emulator at a time")
ARGUMENTS.add_argument("--port", type=int, default=0, help="loopback port, 0 for any free one")
ARGUMENTS.add_argument("--origin", action="append", default=[], help="origin of a page that may use signed links")
ARGUMENTS.add_argument(
    "--service", action="append", default=[], help="an AWS service that is emulated beside the usual ones"
)

SERVICES = ("cloudformation", "cognito-idp", "dynamodb", "s3", "secretsmanager", "sqs")
PRELOADED = ("cloudformation", "cognito", "dynamodb", "s3", "secretsmanager", "sqs")
LOCK_WAIT_SECONDS = 6
COGNITO = b"AWSCognitoIdentityProviderService."
# botocore sends these three unsigned, as AWS wants them.
PUBLIC_TARGETS = {COGNITO + name for name in (b"InitiateAuth", b"RespondToAuthChallenge", b"RevokeToken")}
RECEIVE_MESSAGE = b"AmazonSQS.ReceiveMessage"
# What an idle service keeps asking; it changes nothing worth a snapshot.
READS = {RECEIVE_MESSAGE, b"DynamoDB_20120810.GetItem", b"DynamoDB_20120810.Query", COGNITO + b"InitiateAuth"}


def main() -> None:
    """Hold the port and the data folder, then serve until stdin closes or SIGTERM comes."""
    options = ARGUMENTS.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides when we stop
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
    listener = listen(options.port) if options.port else None
    data_dir = options.data_dir.resolve()
    os.umask(0o077)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    data_dir.chmod(0o700)
    lock = take(data_dir / "lock")
    listener = listener or listen_as_before(data_dir / "port")
    configure(data_dir, listener.getsockname()[1], (*SERVICES, *options.service))
    asyncio.run(Emulator(listener, frozenset(origin.encode() for origin in options.origin)).run())
    lock.close()


def listen(port: int) -> socket.socket:
    """Bind the loopback port."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=1024)
    except OSError as error:
        refuse(f"port {port} cannot be used: {error.strerror}")


def listen_as_before(memory: Path) -> socket.socket:
    """Bind the port of the last run if it is free: an open page may reach no other one."""
    try:
        listener = socket.create_server(("127.0.0.1", int(memory.read_text())), backlog=1024)
    except (OSError, ValueError, OverflowError):
        listener = listen(0)
    memory.write_text(str(listener.getsockname()[1]))
    return listener


def refuse(sentence: str) -> NoReturn:
    """Say why in one JSON line and end."""
    print(json.dumps({"error": sentence}), flush=True)
    sys.exit(3)


def take(path: Path) -> IO[str]:
    """Lock the data folder, waiting for a predecessor that is still saving."""
    lock = path.open("w")
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        if time.monotonic() > deadline:
            refuse(f"the data folder {path.parent} is in use by another embedded cloud")
        time.sleep(0.05)


def configure(data_dir: Path, port: int, services: tuple[str, ...]) -> None:
    """Set what the emulator reads from its environment when it is imported."""
    os.environ |= {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": ",".join(services),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent",  # it would remove containers it takes for its own
        "LOG_LEVEL": "WARNING",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data_dir / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(data_dir / "objects"),
    }


class Guard:
    """Decides who may speak to the emulator, which itself never checks an ordinary signature."""

    def __init__(self, key_id: str, origins: frozenset[bytes]) -> None:
        self.signature = f"Credential={key_id}/".encode()
        self.key_id = key_id
        self.origins = origins

    def admits(self, scope, headers) -> bool:
        """Tell whether a request is ours: signed, a link we signed, or harmless and not from a page."""
        method, path, origin = scope["method"], scope["path"], headers.get(b"origin")
        if method == "OPTIONS":
            return origin in self.origins
        if self.signature in headers.get(b"authorization", b""):
            return origin is None
        if self.is_signed_link(scope, headers):
            return origin is None or origin in self.origins
        if method == "GET":
            return origin is None and (path == "/_ministack/health" or path.endswith("/.well-known/jwks.json"))
        return origin is None and method == "POST" and headers.get(b"x-amz-target") in PUBLIC_TARGETS

    def is_signed_link(self, scope, headers) -> bool:
        """Tell a presigned S3 URL of ours; for any other service the emulator would take it unchecked."""
        if scope["method"] not in ("GET", "HEAD", "PUT") or b"x-amz-target" in headers:
            return False
        query = parse_qs(scope["query_string"].decode("latin-1"))
        scopes = query.get("X-Amz-Credential", [""])[0].split("/")
        return scopes[0] == self.key_id and scopes[-2:] == ["s3", "aws4_request"] and "X-Amz-Signature" in query


class Emulator:
    """MiniStack as a guarded ASGI app that saves itself."""

    def __init__(self, listener: socket.socket, origins: frozenset[bytes]) -> None:
        self.listener = listener
        self.guard = Guard(os.environ["AWS_ACCESS_KEY_ID"], origins)
        self.stop = asyncio.Event()
        self.changed = False
        self.ministack = importlib.import_module("ministack.app")
        self.ministack._collect_scripts = lambda *_folders: []  # it would run what lies in /docker-entrypoint-initaws.d

    async def run(self) -> None:
        """Serve until told to stop; the emulator saves its state in the server's shutdown."""
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        threading.Thread(target=self.follow_parent, args=(loop,), daemon=True).start()
        config = Config()
        config.bind = [f"fd://{self.listener.fileno()}"]
        config.graceful_timeout = 1  # longer and open long polls hold up every stop
        config.keep_alive_timeout = 75
        config.loglevel = "WARNING"
        saving = asyncio.create_task(self.save_now_and_then())
        await serve(self.app, config, shutdown_trigger=self.stopped)
        saving.cancel()

    def follow_parent(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop when the pipe from the parent closes, however the parent ended."""
        while os.read(0, 65536):
            pass
        loop.call_soon_threadsafe(self.stop.set)

    async def stopped(self) -> None:
        """Wait for the end, and then for a stack in the middle of its making, which saved half could not go on."""
        await self.stop.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(4):
                while self.is_building():  # noqa: ASYNC110 - it has no event to wait for
                    await asyncio.sleep(0.05)

    def is_building(self) -> bool:
        """Tell whether CloudFormation is at work."""
        stacks = self.ministack._get_module("cloudformation")._stacks.values()
        return any(stack["StackStatus"].endswith("_IN_PROGRESS") for stack in stacks)

    async def save_now_and_then(self) -> None:
        """Save when something changed; saving blocks the loop, so it gets at most a fiftieth of the time."""
        from ministack.core import persistence

        duration = 0.0
        while True:
            await asyncio.sleep(max(5, 50 * duration))
            if self.changed and not self.is_building():
                self.changed = False
                started = time.monotonic()
                persistence.save_all(self.ministack._build_persistence_save_dict())
                duration = time.monotonic() - started

    async def app(self, scope, receive, send) -> None:
        """Pass on what the guard admits, answer the rest with 403."""
        if scope["type"] == "lifespan":
            return await self.ministack.app(scope, receive, self.announcing(send))
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        headers = dict(scope["headers"])
        if not self.guard.admits(scope, headers):
            return await self.forbid(headers.get(b"origin"), send)
        target = headers.get(b"x-amz-target")
        if target == RECEIVE_MESSAGE:
            return await self.receive_message(scope, receive, send)
        self.changed |= scope["method"] not in ("GET", "HEAD", "OPTIONS") and target not in READS
        return await self.ministack.app(scope, receive, send)

    def announcing(self, send):
        """Load the services and print the ready line once the emulator's state is back."""

        async def announce(message) -> None:
            if message["type"] == "lifespan.startup.complete":
                for name in PRELOADED:
                    self.ministack._get_module(name)
                print(json.dumps({"port": self.listener.getsockname()[1], "pid": os.getpid()}), flush=True)
            await send(message)

        return announce

    async def forbid(self, origin: bytes | None, send) -> None:
        """Answer 403; our own pages may read it, others see only that it failed."""
        readable = [(b"access-control-allow-origin", origin)] if origin in self.guard.origins else []
        headers = [(b"content-type", b"text/plain"), *readable]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": b"This embedded cloud answers its own service only.\n"})

    async def receive_message(self, scope, receive, send) -> None:
        """End a long poll with its client; MiniStack would hand the next message to the one that left."""
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())

        async def replay():
            return messages.pop(0) if messages else await asyncio.Event().wait()

        poll = asyncio.create_task(self.ministack.app(scope, replay, send))
        gone = asyncio.create_task(receive())
        try:
            await asyncio.wait({poll, gone}, return_when=asyncio.FIRST_COMPLETED)
            if poll.done():
                poll.result()
        finally:
            poll.cancel()
            gone.cancel()


if __name__ == "__main__":
    main()
