"""Kinds of values that variables have, and what is wrong with those that are none."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, LiteralString
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost")
WHOLE: Final = "whole"
"""The type of a mistake whose message names its variables itself."""


class Group(BaseSettings):
    """Variables that belong together, under a heading. What depends on two of them is asked at the second: a validator of the
    whole is not run while any field is wrong."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)
    heading: ClassVar[str]


def mistake(sentence: LiteralString, **values: str) -> PydanticCustomError:
    """Return what to raise where the sentence names its variables itself; ``{name}`` in it stands for a value."""
    return PydanticCustomError(WHOLE, sentence, values)


def parts_of(url: str) -> SplitResult:
    """Take the address apart. Raises ValueError without a part of it, for what stands in a wrong place may be a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # only now it is read as a number
    except ValueError:
        raise ValueError("is no address") from None
    return parts


def origin_of(url: str) -> str:
    """Return what a browser calls the address's origin; who signs in there is no part of it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _check_web_address(url: str) -> str:
    if url and (parts_of(url).scheme not in ("http", "https") or not parts_of(url).hostname):
        raise ValueError("must be an http or https address")
    return url


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
WebAddress = Annotated[str, AfterValidator(_check_web_address)]
Rate = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=0, le=65535)]
