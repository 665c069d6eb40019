"""The AsyncAPI document: official in form, complete, and what is served."""

from __future__ import annotations

import inspect
import json
from typing import Any, get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from jsonschema import Draft7Validator

from jobs.events import InProcessBus
from service import keys
from service.routes import docs
from service.schemas import EventsRequest
from service.settings import Settings
from tests.contracts import frames
from tests.contracts.contract import DOCUMENT, FOLDER, complaints
from tests.contracts.session import open_views
from websocket import messages, wire
from websocket.close_codes import CloseCode


def test_the_document_is_one_by_the_official_schema() -> None:
    """Of AsyncAPI 3.0.0."""
    official = json.loads((FOLDER / "asyncapi-3.0.0.json").read_text())

    assert [] == [f"{error.json_path}: {error.message}" for error in Draft7Validator(official).iter_errors(DOCUMENT)]


def test_every_schema_in_it_is_a_schema() -> None:
    """The official schema does not look that deep."""
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def test_every_reference_leads_somewhere() -> None:
    """Operations name messages of the channel, and those the components'."""
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]


def test_every_message_of_the_client_has_an_operation_with_its_answers() -> None:
    """The models that read them are the ones described."""
    types = {model.model_fields["type"].annotation for model in get_args(messages.Inbound)}
    said = {get_args(annotation)[0] for annotation in types}

    assert said | {"tell", "stream", "poll"} == DOCUMENT["operations"].keys()
    assert {"client." + name for name in said} < DOCUMENT["components"]["messages"].keys()


def test_what_is_told_without_a_socket_are_messages_of_the_socket() -> None:
    """All of them, but for the answers to what only a socket can say; and by a request that the document describes."""
    channels, operations = DOCUMENT["channels"], DOCUMENT["operations"]

    assert channels["events"]["messages"].items() < channels["socket"]["messages"].items()
    assert wire.OUTBOUND.keys() - channels["events"]["messages"].keys() == {"auth.ok", "cancel.ok"}
    for name, fields in (("stream", {"after"}), ("poll", {"after", "wait"})):
        asked = operations[name]["bindings"]["http"]["query"]["properties"]

        assert fields == asked.keys() <= {"after", "wait"} == EventsRequest.model_fields.keys()


def test_every_close_code_is_told_with_what_to_do_next() -> None:
    """Beside the messages."""
    assert [int(code) for code in CloseCode] == [row["code"] for row in DOCUMENT["channels"]["socket"]["x-close-codes"]]


async def test_every_frame_that_can_be_made_is_as_described() -> None:
    """By each function that makes one; and each type that is described is made by one of them."""
    makers = {maker for _, maker in inspect.getmembers(messages, inspect.isfunction) if makes_frames(maker)}
    async with open_views(InProcessBus()) as views:
        made = {}
        for job in (frames.QUEUED, frames.COMPLETED, frames.ANSWERED, frames.FAILED):
            made = frames.samples(await views.view(job))
            told = [json.loads(frame.content) for samples in made.values() for frame in samples]

            assert [] == [complaint for message in told for complaint in complaints(message)]

    assert makers == made.keys()
    assert {frame.type for samples in made.values() for frame in samples} == wire.OUTBOUND.keys()


@pytest.mark.parametrize(
    "message",
    [
        {"type": "job.progress"},
        {"type": "pong"},
        {"type": "error", "time": "2026-11-20T09:00:00.000Z", "data": {"code": "x", "message": "x", "new": 1}},
        {"type": "error", "time": "2026-11-20T09:00:00Z", "data": {"code": "x", "message": "x"}},
    ],
)
def test_the_judge_can_say_no(message: dict[str, Any]) -> None:
    """To what is missing, unknown, undescribed or of another form."""
    assert complaints(message)


@pytest.mark.parametrize(
    ("public_url", "server"),
    [
        ("https://photos.example.com", {"host": "photos.example.com", "protocol": "wss"}),
        ("", {"host": "127.0.0.1:8080", "protocol": "ws"}),
    ],
)
async def test_it_is_served_with_the_services_own_address(public_url: str, server: dict[str, str]) -> None:
    """To everybody who asks."""
    app = web.Application()
    app[keys.SETTINGS] = Settings.model_construct(public_url=public_url)
    app.add_routes(docs.ROUTES)
    async with TestClient(TestServer(app)) as client:
        response = await client.get("/asyncapi.json")
        document = await response.json()

    assert "3.0.0" == document["asyncapi"]
    assert server.items() < document["servers"]["service"].items()
    assert server["protocol"].replace("ws", "http") == document["servers"]["requests"]["protocol"]


def makes_frames(function: Any) -> bool:
    """Tell whether it is one of the public functions that return a frame."""
    return not function.__name__.startswith("_") and function.__annotations__.get("return") == "Frame"


def references(node: Any) -> list[str]:
    """Find every reference."""
    match node:
        case dict():
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [reference for inner in node.values() for reference in references(inner)]
        case list():
            return [reference for inner in node for reference in references(inner)]
        case _:
            return []
