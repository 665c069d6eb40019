"""How log lines look."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from aiohttp.http_exceptions import LineTooLong

from service.log import configure_logging


@pytest.fixture(autouse=True)
def _keep_logging() -> Iterator[None]:
    """Put the handlers of the test runner back."""
    root = logging.getLogger()
    handlers, level, filters = root.handlers[:], root.level, logging.getLogger("aiohttp.server").filters[:]
    yield
    root.handlers[:], logging.getLogger("aiohttp.server").filters[:] = handlers, filters
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def test_a_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    """With the request's context, the extra fields and the stack."""
    configure_logging("INFO", "json")
    reason = ValueError("a reason")
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logging.getLogger("service.x").error("It failed", extra={"action": "act"}, exc_info=reason)
    line = json.loads(capsys.readouterr().err)

    assert (line["event"], line["level"], line["action"], line["request_id"]) == ("It failed", "error", "act", "r1")
    assert "ValueError: a reason" in line["exception"]


def test_a_malformed_request_is_logged_without_its_headers(capsys: pytest.CaptureFixture[str]) -> None:
    """aiohttp quotes the head of a header that is too long: that is where tokens stand."""
    configure_logging("INFO", "console")
    error = LineTooLong(b"Authorization: Bearer the-token", 8190)
    logging.getLogger("aiohttp.server").error("Error handling request from %s", "1.2.3.4", exc_info=error)
    text = capsys.readouterr().err

    assert "A request was no valid HTTP" in text
    assert "the-token" not in text


def test_libraries_do_not_tell_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """Not even when we are debugged."""
    configure_logging("DEBUG", "json")
    logging.getLogger("botocore.auth").debug("signed with the-key")
    logging.getLogger("service.x").debug("ours")
    text = capsys.readouterr().err

    assert "the-key" not in text
    assert "ours" in text
