"""The errors of an operation as answers in the OpenAPI document: for each status its codes, its headers and an example of each."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from itertools import groupby
from typing import Any

from jobs.errors import QuotaExceeded
from service.errors import Told, told
from service.openapi import answers
from service.openapi import parameters as openapi_parameters
from service.openapi.examples import EXAMPLES
from service.openapi.operations import JSON_TYPE, AnswerHeader
from service.openapi.parameters import A_REQUEST
from service.openapi.schemas import Schemas

_Object = dict[str, Any]


def responses(kinds: Iterable[type[Exception]], schemas: Schemas) -> _Object:
    """Describe how these errors are told, by status."""
    ways = {(way.status, way.code): way for kind in kinds for way in told(kind)}
    ordered = sorted(ways.values(), key=lambda way: (way.status, way.code))
    return {
        str(int(status)): _response(status, list(same), schemas)
        for status, same in groupby(ordered, key=lambda way: way.status)
    }


def _response(status: HTTPStatus, ways: list[Told], schemas: Schemas) -> _Object:
    return {
        "description": "; ".join(f"`{way.code}`: {way.sentence.rstrip('.')}" for way in ways) + ".",
        "headers": _headers(status, ways),
        "content": {
            JSON_TYPE: {
                "schema": _schema([way.code for way in ways], schemas),
                "examples": {way.code: {"value": _example(way)} for way in ways},
            }
        },
    }


def _schema(codes: list[str], schemas: Schemas) -> _Object:
    plain = [code for code in codes if code != QuotaExceeded.code]
    error = {"allOf": [schemas.describe(answers.Error, "serialization"), {"properties": {"code": {"enum": plain}}}]}
    if plain == codes:
        return error
    quota = schemas.describe(answers.QuotaExceeded, "serialization")
    return {"anyOf": [error, quota]} if plain else quota


def _example(way: Told) -> _Object:
    if way.code == QuotaExceeded.code:
        return dict(EXAMPLES["QuotaExceeded"])
    return {"error": way.sentence, "code": way.code, "requestId": A_REQUEST}


def _headers(status: HTTPStatus, ways: list[Told]) -> _Object:
    retry = (AnswerHeader.RETRY_AFTER,)
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return openapi_parameters.headers(sure=(AnswerHeader.AUTHENTICATE,))
        case HTTPStatus.TOO_MANY_REQUESTS if any(way.code == QuotaExceeded.code for way in ways):
            return openapi_parameters.headers(others=retry)  # a day's quota has none
        case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
            return openapi_parameters.headers(sure=retry)
        case _:
            return openapi_parameters.headers()
