"""A ZIP archive that is read while it is written, so that it is never whole anywhere."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Final

_CHUNK_BYTES: Final = 64 * 1024
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)


class _Sink:
    """What a ZipFile writes to; it cannot seek, and so the sizes of a file follow behind it."""

    def __init__(self) -> None:
        self._written = bytearray()

    def __len__(self) -> int:
        return len(self._written)

    def write(self, content: bytes) -> int:
        """Keep it until it is taken."""
        self._written += content
        return len(content)

    def flush(self) -> None:
        """Do nothing: it is there at once."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = bytes(self._written)
        self._written.clear()
        return taken


class ZipStream:
    """Gives the archive's bytes as its files come. Memory: a chunk, and some hundred bytes a file."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w")  # type: ignore[call-overload]  # it asks for no more than write and flush

    async def add(
        self, name: str, pieces: AsyncIterator[bytes], *, written_at: int, is_text: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """Put a file of these pieces into the archive; ``written_at`` is milliseconds since the epoch. Text is compressed."""
        info = zipfile.ZipInfo(name, _date_time(written_at))
        info.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
        info.external_attr = 0o644 << 16
        with self._zip.open(info, "w") as file:
            async for piece in pieces:
                file.write(piece)
                if len(self._sink) >= _CHUNK_BYTES:
                    yield self._sink.take()

    def end(self) -> bytes:
        """Return what closes the archive."""
        self._zip.close()
        return self._sink.take()


def _date_time(milliseconds: int) -> tuple[int, int, int, int, int, int]:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return max(_EARLIEST, (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second))
