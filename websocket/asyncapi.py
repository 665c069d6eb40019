"""The AsyncAPI 3 document of ``GET /ws`` and ``GET /events``, made from the models that read and describe their messages."""

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
from websocket.polling import MAX_WAIT_SECONDS
from websocket.wire import DURABLE, OUTBOUND

VERSION: Final = "1.4.0"
"""Of the protocol: its first number is that of the subprotocol's name, the second grows with what is added."""
_SOCKET: Final = "#/channels/socket"
_EVENTS_CHANNEL: Final = "#/channels/events"
_DESCRIPTION: Final = f"""\
Everything that happens to a user's jobs and reports, as it happens. Offer the subprotocol `{PROTOCOL}`, and say who you are
by the `Authorization` header, by a second offer `bearer.<token>`, or by a first message `hello`. A message with an `id` comes
from the durable log: hand the newest one back as `since` and nothing is missed. Ignore types and fields that you do not know.
Networks that let no socket through get the same messages from `/events`, as server-sent events or by long polling."""
_STREAM: Final = """\
With `Accept: text/event-stream`: server-sent events, `data` a message and `id` its cursor, which comes back as `Last-Event-ID`
or `after`. `/jobs/{jobId}/events` is the same for one job: a `snapshot` of it, then what happens to it until it ends."""
_POLL: Final = """\
With any other `Accept`: one answer `{"events": [...], "cursor": "..."}`, as soon as something lasting has happened or `wait`
seconds are over. `events` holds the messages; ask again with the cursor."""
_EVENTS: Final = tuple(event.value for event in EventType)
_ANSWERS: Final = frozenset({"auth.ok", "cancel.ok"})
"""What only a client is told that can say something."""
_STREAMED: Final = tuple(name for name in OUTBOUND if name not in _ANSWERS)
_LASTING: Final = ("resync", "snapshot", *DURABLE)
_REPLIES: Final[dict[str, tuple[str, ...]]] = {
    "hello": ("welcome", *_LASTING, "error"),
    "resume": _LASTING,
    "auth": ("auth.ok", "error"),
    "cancel": ("cancel.ok", "error"),
    "ping": ("ping",),
}

_Object = dict[str, Any]
_CURSOR: Final[_Object] = {
    "type": "string",
    "maxLength": MAX_CURSOR_CHARACTERS,
    "description": "The cursor to resume from.",
}


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
        "servers": {"service": _server(origin, "ws"), "requests": _server(origin, "http")},
        "channels": {"socket": _socket(components["messages"]), "events": _events()},
        "operations": {
            "tell": _operation("send", _SOCKET, OUTBOUND),
            "stream": _request(_STREAM, _STREAMED, {}),
            "poll": _request(_POLL, _LASTING, {"wait": {"type": "number", "minimum": 0, "maximum": MAX_WAIT_SECONDS}}),
            **{name: _answer(name) for name in inbound},
        },
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


def _server(origin: str, protocol: str) -> _Object:
    address = urlsplit(origin)
    if address.scheme == "https":
        protocol += "s"
    return {"host": address.netloc, "protocol": protocol, "security": [{"$ref": "#/components/securitySchemes/token"}]}


def _socket(names: Iterable[str]) -> _Object:
    offers = {"type": "string", "description": f"`{PROTOCOL}`, and `bearer.<token>` where no other header can be sent."}
    return {
        "address": "/ws",
        "servers": [{"$ref": "#/servers/service"}],
        "messages": _messages(names),
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": {"since": _CURSOR}},
                "headers": {"type": "object", "properties": {"Sec-WebSocket-Protocol": offers}},
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": [
            {"code": int(code), "meaning": code.meaning, "reconnect": code.reconnect} for code in CloseCode
        ],
    }


def _events() -> _Object:
    return {"address": "/events", "servers": [{"$ref": "#/servers/requests"}], "messages": _messages(_STREAMED)}


def _messages(names: Iterable[str]) -> _Object:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _operation(action: str, channel: str, names: Iterable[str]) -> _Object:
    return {"action": action, "channel": {"$ref": channel}, "messages": _references(channel, names)}


def _request(description: str, names: Iterable[str], query: _Object) -> _Object:
    """Describe what a ``GET`` of the events' channel is told."""
    asked = {"type": "object", "properties": {"after": _CURSOR, **query}}
    binding = {"method": "GET", "query": asked, "bindingVersion": "0.3.0"}
    return _operation("send", _EVENTS_CHANNEL, names) | {"description": description, "bindings": {"http": binding}}


def _answer(name: str) -> _Object:
    reply = {"channel": {"$ref": _SOCKET}, "messages": _references(_SOCKET, _REPLIES[name])}
    return _operation("receive", _SOCKET, [_of_client(name)]) | {"reply": reply}


def _references(channel: str, names: Iterable[str]) -> list[_Object]:
    return [{"$ref": f"{channel}/messages/{name}"} for name in names]


def _of_client(name: str) -> str:
    """Name a client's message: there is a ``ping`` both ways."""
    return f"client.{name}"


def _type_of(model: type[BaseModel]) -> str:
    (name,) = get_args(model.model_fields["type"].annotation)
    return str(name)
