"""How log lines are written: one shape for ours and for every library's."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final, Literal

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import Processor

# Below this level these write signed requests, tokens or image bytes.
_TALKATIVE: Final = ("aioboto3", "aiobotocore", "aiohttp.client", "asyncio", "boto3", "botocore", "google_genai", "PIL")


class MalformedRequestFilter(logging.Filter):
    """Shortens aiohttp's report of a request that is no HTTP: its stack quotes headers, a token's head among them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, without what the client sent."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.exc_info, record.exc_text = None, None
            record.msg, record.args = "A request was no valid HTTP", ()
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


def configure_logging(level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Write every record of this process to stderr: for people on a terminal, else as one JSON object a line."""
    for_people = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(for_people=for_people))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("aiohttp.server").addFilter(MalformedRequestFilter())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelNamesMapping()[level]))


def _formatter(*, for_people: bool) -> structlog.stdlib.ProcessorFormatter:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if for_people:
        colors = "NO_COLOR" not in os.environ and sys.stderr.isatty()
        # Rich's tracebacks would show local variables, tokens among them.
        console = structlog.dev.ConsoleRenderer(
            colors=colors, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
        rendering: list[Processor] = [strip, console]
    else:
        rendering = [strip, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=rendering)
