"""HTTP/1.1 messages read whole from a stream, known well enough to choose a fault by, and kept as they came."""

from __future__ import annotations

from asyncio import StreamReader
from collections.abc import Mapping
from dataclasses import dataclass

MAX_BODY_BYTES = 32 * 1024 * 1024
_LINE, _HEAD_END = b"\r\n", b"\r\n\r\n"


class UnreadableMessage(Exception):
    """What came is no HTTP that the proxy reads, or its body is too large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request: ``path`` includes the query, names in ``headers`` are lower-case, ``body`` is without chunk framing.

    ``wire`` is what goes to the upstream, ``awaits_continue`` tells that the client holds its body back until it is asked.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    wire: tuple[bytes, bytes]

    @property
    def action(self) -> str:
        """The last part of x-amz-target, such as ``TransactWriteItems``; empty for S3."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]

    def says(self, text: str) -> bool:
        """Tell whether the body has this text in it."""
        return text.encode() in self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first line and the headers. ``raw`` is what was read, the empty line included."""

    raw: bytes
    first_line: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer as it came. ``keeps_open`` is False when the upstream closes its connection after it."""

    status: int
    wire: tuple[bytes, bytes]
    keeps_open: bool


async def read_head(reader: StreamReader) -> Head:
    """Read up to the empty line. Raises IncompleteReadError when the other side closed instead."""
    raw = await reader.readuntil(_HEAD_END)
    first_line, *lines = raw.decode("latin-1").rstrip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Head(raw=raw, first_line=first_line, headers={name.lower(): value.strip() for name, _, value in pairs})


async def read_request(head: Head, reader: StreamReader) -> Request:
    """Read the body that belongs to the head."""
    method, path, _ = head.first_line.split(" ", 2)
    raw, body = await _read_body(head, reader)
    return Request(method=method, path=path, headers=head.headers, body=body, wire=(_without_expect(head), raw))


async def read_response(reader: StreamReader, method: str) -> Response:
    """Read an answer to a request of this method, past every ``100 Continue``."""
    head = await read_head(reader)
    while (status := int(head.first_line.split(" ", 2)[1])) < 200:
        head = await read_head(reader)
    if method == "HEAD" or status in (204, 304):
        raw, is_open_end = b"", False
    else:
        is_open_end = not {"content-length", "transfer-encoding"} & head.headers.keys()
        raw = await reader.read(-1) if is_open_end else (await _read_body(head, reader))[0]
    is_closing = is_open_end or head.headers.get("connection", "").lower() == "close"
    return Response(status=status, wire=(head.raw, raw), keeps_open=not is_closing)


async def _read_body(head: Head, reader: StreamReader) -> tuple[bytes, bytes]:
    """Return the body as it came and without chunk framing."""
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        return await _read_chunks(reader)
    size = int(head.headers.get("content-length", 0))
    _check_size(size)
    body = await reader.readexactly(size)
    return body, body


async def _read_chunks(reader: StreamReader) -> tuple[bytes, bytes]:
    raw, body = bytearray(), bytearray()
    size = -1
    while size:
        line = await reader.readuntil(_LINE)
        size = int(line.split(b";")[0], 16)
        _check_size(len(body) + size)
        chunk = await reader.readexactly(size + len(_LINE)) if size else b""
        body += chunk[:size]
        raw += line + chunk
    trailer = b""
    while trailer != _LINE:
        trailer = await reader.readuntil(_LINE)
        raw += trailer
    return bytes(raw), bytes(body)


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise UnreadableMessage(f"A body of {size} bytes is too large for this proxy")


def _without_expect(head: Head) -> bytes:
    # The proxy has asked for the body itself; the upstream's own "100 Continue" would come for nobody.
    if "expect" not in head.headers:
        return head.raw
    lines = head.raw.split(_LINE)
    return _LINE.join(line for line in lines if not line.lower().startswith(b"expect:"))
