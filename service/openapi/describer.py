"""One route as an operation of the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from jobs import errors
from service import keys
from service.errors import (
    BodyTooLarge,
    InvalidImageFile,
    InvalidJSON,
    NoImageFile,
    TooBusy,
    TooManyRequests,
    UnsupportedMediaType,
)
from service.openapi import errors as openapi_errors
from service.openapi import parameters as openapi_parameters
from service.openapi.operations import JSON_TYPE, Answer, Operation, Shape
from service.openapi.schemas import Schemas

_Object = dict[str, Any]
TOKEN: Final = "token"  # noqa: S105 - the name of a security scheme
_FORM: Final = "multipart/form-data"
_OPEN: Final = "This service takes it without a token, too."
_PARAMETER: Final = re.compile(r"{([a-z_]+)}")
_READING_JSON: Final = (errors.InvalidRequest, InvalidJSON, BodyTooLarge, UnsupportedMediaType)
_READING_A_FORM: Final = (errors.InvalidRequest, NoImageFile, InvalidImageFile, BodyTooLarge, TooBusy)
_READING_A_TOKEN: Final = (errors.Unauthorized, errors.UserBlocked)


class Describer:
    """Describes a route of an application; the types it meets go into ``schemas``."""

    def __init__(self, app: web.Application, route: web.AbstractRoute, schemas: Schemas) -> None:
        self._schemas = schemas
        self._is_public = route.resource in app[keys.PUBLIC_RESOURCES]
        self._is_counted = route.resource not in app[keys.UNCOUNTED_RESOURCES]
        self._is_open = route.handler in app[keys.ANONYMOUS_HANDLERS]
        self._resource = route.resource

    @property
    def path(self) -> str:
        """The path, its parameters in camelCase, as everything in the API."""
        return _PARAMETER.sub(lambda match: f"{{{to_camel(match[1])}}}", self._canonical)

    def operation(self, declared: Operation) -> _Object:
        """Describe it, but for its name."""
        described: _Object = {
            "tags": [declared.tag],
            "summary": declared.summary,
            "description": " ".join(filter(None, (declared.description, _OPEN if self._is_open else ""))),
            "security": self._security(),
            "parameters": [*self._in_path(), *self._in_query(declared.query), *_in_headers(declared)],
            "requestBody": self._body(declared),
            "responses": self._answers(declared) | openapi_errors.responses(self._errors(declared), self._schemas),
            "externalDocs": {"url": declared.more_at} if declared.more_at else None,
        }
        return {name: value for name, value in described.items() if value or name == "security"}

    @property
    def _canonical(self) -> str:
        return self._resource.canonical if self._resource is not None else ""

    def _security(self) -> list[_Object]:
        if self._is_public:
            return []
        return [{TOKEN: []}, *([{}] if self._is_open else [])]

    def _in_path(self) -> list[_Object]:
        pattern = self._resource.get_info().get("pattern") if self._resource is not None else None
        return [
            {"name": to_camel(name), "in": "path", "required": True, **_path_parameter(name, pattern)}
            for name in _PARAMETER.findall(self._canonical)
        ]

    def _in_query(self, model: type[BaseModel] | None) -> list[_Object]:
        return [] if model is None else self._schemas.query(model)

    def _body(self, declared: Operation) -> _Object | None:
        if declared.form is not None:
            return {"required": True, "content": {_FORM: self._form(declared.form)}}
        if declared.body is not None:
            return {"required": True, "content": {JSON_TYPE: self._schemas.content(declared.body, "validation")}}
        return None

    def _form(self, model: type[BaseModel]) -> _Object:
        content = self._schemas.content(model, "validation")
        fields = self._schemas.components[model.__name__]["properties"]
        files = {name: field["contentMediaType"] for name, field in fields.items() if "contentMediaType" in field}
        return content | {"encoding": {name: {"contentType": types} for name, types in files.items()}}

    def _answers(self, declared: Operation) -> _Object:
        return {str(status): self._answer(answer) for status, answer in declared.answers.items()}

    def _answer(self, answer: Answer) -> _Object:
        described: _Object = {
            "description": answer.description,
            "headers": openapi_parameters.headers(sure=answer.sure, others=answer.headers),
            "content": {kind: self._content(shape) for kind, shape in answer.contents.items()},
        }
        return {name: value for name, value in described.items() if value}

    def _content(self, shape: Shape) -> _Object:
        return {} if shape is bytes else self._schemas.content(shape, "serialization")

    def _errors(self, declared: Operation) -> list[type[Exception]]:
        found: list[type[Exception]] = [errors.DarkroomError, *declared.raises]
        if not self._is_public:
            found += [*_READING_A_TOKEN, errors.CloudUnavailable]
        if self._is_open:
            found.append(errors.Forbidden)
        if self._is_counted:
            found.append(TooManyRequests)
        if declared.query is not None:
            found.append(errors.InvalidRequest)
        if declared.body is not None:
            found += _READING_JSON
        if declared.form is not None:
            found += _READING_A_FORM
        return found


def _in_headers(declared: Operation) -> list[_Object]:
    return [{"name": str(name), "in": "header", **openapi_parameters.REQUESTS[name]} for name in declared.headers]


def _path_parameter(name: str, pattern: re.Pattern[str] | None) -> _Object:
    """Describe a parameter: as it is known by its name, or by the words that its path allows, ``{part:client|line}``."""
    choices = re.search(rf"\(\?P<{name}>([^()]*\|[^()]*)\)", pattern.pattern) if pattern is not None else None
    if choices is None:
        return openapi_parameters.PATHS[to_camel(name)]
    words = [word.replace("\\", "") for word in choices[1].split("|")]
    return {"schema": {"enum": words}, "example": words[0]}
