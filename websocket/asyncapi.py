"""The AsyncAPI 3 document of ``GET /ws``, made from the models that read and describe its messages."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from jobs.events import EventType
from websocket import messages
from websocket.close_codes import CloseCode
from websocket.messages import MAX_CURSOR_CHARACTERS, PROTOCOL
from websocket.wire import OUTBOUND

VERSION: Final = "1.0.0"
"""Of the protocol: its first number is that of the subprotocol's name, the second grows with what is added."""
_CHANNEL: Final = "#/channels/socket"
_DESCRIPTION: Final = f"""\
Everything that happens to a user's jobs, as it happens. Offer the subprotocol `{PROTOCOL}`, and say who you are by the
`Authorization` header, by a second offer `bearer.<token>`, or by a first message `hello`. A message with an `id` comes from the
durable log: hand the newest one back as `since` and nothing is missed. Ignore types and fields that you do not know."""
_EVENTS: Final = tuple(event.value for event in EventType)
_REPLIES: Final[dict[str, tuple[str, ...]]] = {
    "hello": ("welcome", "resync", "snapshot", *_EVENTS, "error"),
    "resume": ("resync", "snapshot", *_EVENTS),
    "auth": ("auth.ok", "error"),
    "cancel": ("cancel.ok", "error"),
    "ping": ("ping",),
}

_Object = dict[str, Any]


class _Schemas(GenerateJsonSchema):
    """Schemas without a title for each field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def document(origin: str) -> dict[str, Any]:
    """Build the document of a service that is reached at this origin, such as ``https://photos.example.com``."""
    inbound = {_type_of(model): model for model in get_args(messages.Inbound)}
    components = _components(inbound)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Darkroom", "version": VERSION, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {"service": _server(origin)},
        "channels": {"socket": _channel(list(components["messages"]))},
        "operations": {"tell": _operation("send", OUTBOUND)} | {name: _answer(name) for name in inbound},
        "components": components,
    }


def _components(inbound: dict[str, type[BaseModel]]) -> _Object:
    shapes: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        *((name, "serialization", TypeAdapter(shape)) for name, shape in OUTBOUND.items()),
        *((_of_client(name), "validation", TypeAdapter(model)) for name, model in inbound.items()),
    ]
    payloads, definitions = TypeAdapter.json_schemas(
        shapes, ref_template="#/components/schemas/{model}", schema_generator=_Schemas
    )
    described = dict(OUTBOUND) | {_of_client(name): model for name, model in inbound.items()}
    return {
        "schemas": definitions["$defs"],
        "messages": {name: _message(name, described[name], payload) for (name, _), payload in payloads.items()},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    }


def _message(name: str, shape: type[Any], payload: _Object) -> _Object:
    if name in _EVENTS:
        # They share a shape; which of them it is, the type alone tells.
        payload = {"allOf": [payload, {"properties": {"type": {"const": name}}}]}
    return {"name": name, "summary": inspect.getdoc(shape), "payload": payload}


def _server(origin: str) -> _Object:
    address = urlsplit(origin)
    protocol = "wss" if address.scheme == "https" else "ws"
    return {"host": address.netloc, "protocol": protocol, "security": [{"$ref": "#/components/securitySchemes/token"}]}


def _channel(names: list[str]) -> _Object:
    since = {"type": "string", "maxLength": MAX_CURSOR_CHARACTERS, "description": "The cursor to resume from."}
    offers = {"type": "string", "description": f"`{PROTOCOL}`, and `bearer.<token>` where no other header can be sent."}
    return {
        "address": "/ws",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": {"since": since}},
                "headers": {"type": "object", "properties": {"Sec-WebSocket-Protocol": offers}},
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": [
            {"code": int(code), "meaning": code.meaning, "reconnect": code.reconnect} for code in CloseCode
        ],
    }


def _operation(action: str, names: Iterable[str]) -> _Object:
    return {"action": action, "channel": {"$ref": _CHANNEL}, "messages": _references(names)}


def _answer(name: str) -> _Object:
    reply = {"channel": {"$ref": _CHANNEL}, "messages": _references(_REPLIES[name])}
    return _operation("receive", [_of_client(name)]) | {"reply": reply}


def _references(names: Iterable[str]) -> list[_Object]:
    return [{"$ref": f"{_CHANNEL}/messages/{name}"} for name in names]


def _of_client(name: str) -> str:
    """Name a client's message: there is a ``ping`` both ways."""
    return f"client.{name}"


def _type_of(model: type[BaseModel]) -> str:
    (name,) = get_args(model.model_fields["type"].annotation)
    return str(name)
