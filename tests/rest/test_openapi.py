"""The OpenAPI document: official in form, complete, made of what reads requests, and what is served."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from pydantic import BaseModel, TypeAdapter

from consumers.failures import POLICIES
from jobs.errors import DarkroomError
from service import keys, routes
from service.errors import FAILURE_CODES, told
from service.openapi import document, of_settings
from service.openapi.examples import EXAMPLES
from service.process import VERSION
from tests.contracts import rest
from tests.rest.api import Api
from tests.rest.conftest import Start

CHECKOUT = Path(__file__).parents[2]


def test_the_document_is_one_by_the_official_schema() -> None:
    """Of OpenAPI 3.1, and every reference, name and default in it holds."""
    validate(rest.document())


def test_it_has_the_version_of_the_project() -> None:
    """The command line says the same."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION == rest.document()["info"]["version"]


def test_a_route_that_declares_nothing_is_refused() -> None:
    """Whoever adds one is told so by every test here, for the document cannot be made."""

    async def forgotten(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    routes.add_routes(app, rest.settings())
    app.router.add_get("/forgotten", forgotten)

    with pytest.raises(LookupError, match="/forgotten"):
        document.describe(app, rest.ORIGIN)


def test_every_body_and_answer_has_an_example_that_is_one() -> None:
    """By its schema; and so has every error, one for each of its codes. What is no type of ours has none."""
    components = rest.document()["components"]
    shown = set()
    for path, method, operation in rest.operations():
        for where, content in contents(operation):
            examples = content.get("examples", {})
            shown |= examples.keys()
            shown |= {"QuotaExceeded"} if "quota_exceeded" in examples else set()
            is_plain = "type" in content["schema"]

            assert examples or is_plain, (method, path, where)
            for name, example in examples.items():
                validator = Draft202012Validator({**content["schema"], "components": components})
                assert [] == [error.message for error in validator.iter_errors(example["value"])], (path, where, name)
    assert EXAMPLES.keys() <= shown


def test_the_models_take_the_examples_of_requests() -> None:
    """What reads a request is what describes it."""
    app = web.Application()
    routes.add_routes(app, rest.settings(embedded=True))
    declared = [document.find(route) for route in app.router.routes()]
    bodies = {operation.name: operation.body for operation in declared if operation.body is not None}

    assert len(bodies) >= 8
    for body in bodies.values():
        for model in getattr(body, "__args__", (body,)):
            assert isinstance(TypeAdapter(model).validate_python(EXAMPLES[model.__name__]), BaseModel)


def test_every_operation_says_who_may_ask_and_what_goes_wrong() -> None:
    """By a token, unless it is public; then there is no 401. Each error has the one form, and each answer the request's id."""
    for path, _, operation in rest.operations():
        assert ("401" in operation["responses"]) == bool(operation["security"]), path
        assert "500" in operation["responses"]
        for status, response in operation["responses"].items():
            assert "X-Request-Id" in response["headers"]
            if int(status) >= 400:
                examples = response["content"]["application/json"]["examples"]
                assert {"error", "code", "requestId"} <= next(iter(examples.values()))["value"].keys()


def test_what_the_settings_open_needs_no_token() -> None:
    """And says so; otherwise it does."""
    closed = of_settings.document(rest.ORIGIN, rest.settings())["paths"]
    opened = rest.document()["paths"]

    assert [{"token": []}, {}] == opened["/detect-crack"]["post"]["security"]
    assert [{"token": []}] == closed["/detect-crack"]["post"]["security"]
    assert [{"token": []}] == opened["/generate"]["post"]["security"]
    assert [] == opened["/styles"]["get"]["security"]
    assert "/auth/demo" in opened
    assert "/auth/demo" not in closed


def test_the_quota_has_a_body_of_its_own_among_the_429s() -> None:
    """As the originals' clients know it."""
    refused = rest.document()["paths"]["/generate"]["post"]["responses"]["429"]

    assert {"quota_exceeded", "too_many_jobs", "too_many_requests"} == refused["content"]["application/json"][
        "examples"
    ].keys()
    assert "required" not in refused["headers"]["Retry-After"]


def test_every_code_that_a_waited_for_job_may_fail_with_is_told() -> None:
    """All that workers fail jobs with; and what is told of a class of errors is what its answers say."""
    assert {policy.code for policy in POLICIES.values()} <= FAILURE_CODES.keys()
    assert [(500, "internal_error")] == [(way.status, way.code) for way in told(DarkroomError)]


def test_every_path_parameter_is_described_and_camel_cased() -> None:
    """Like every other name in the API, whatever handlers call it."""
    for path, _, operation in rest.operations():
        named = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}

        assert set(re.findall(r"{(\w+)}", path)) == named
        assert not any("_" in name for name in named)


@pytest.mark.asyncio(loop_scope="session")
async def test_the_served_document_is_the_one_of_these_settings(api: Api, start: Start) -> None:
    """Made of the running routes or of settings alone, it is the same."""
    served = await api.get("/openapi.json", token="")
    opened = await start(anonymous_pipelines="crack-detection")

    assert 200 == served.status
    assert rest.ORIGIN not in str(served.body["servers"])
    [server] = served.body["servers"]
    assert of_settings.document(server["url"], api.http.app[keys.SETTINGS]) == served.body
    assert served.body != (await opened.get("/openapi.json", token="")).body


def contents(operation: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Give every body of an operation that has a schema, but for forms, which hold photos."""
    bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
    return [
        (where, content)
        for where, body in bodies.items()
        for kind, content in body.get("content", {}).items()
        if "schema" in content and kind != "multipart/form-data"
    ]
