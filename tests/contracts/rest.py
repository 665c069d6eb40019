"""The OpenAPI document as a judge: is this answer one that it describes?"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator

from service.openapi import of_settings
from service.settings import Settings

ORIGIN: Final = "https://photos.example.com"
_NAMES: Final = (
    "upload_bucket result_bucket sqs_queue_url users_table usage_log_table image_jobs_table job_events_table "
    "parking_sightings_table parking_reports_table upload_events_queue_url webhooks_table webhook_deliveries_table "
    "webhook_deliveries_queue_url cognito_user_pool_id cognito_client_id gemini_api_key"
)


def settings(**changes: Any) -> Settings:
    """Make settings of a service that nobody runs."""
    return Settings(**{name: name for name in _NAMES.split()} | changes)


@cache
def document() -> dict[str, Any]:
    """Describe a service with everything in it."""
    return of_settings.document(ORIGIN, settings(embedded=True, anonymous_pipelines="crack-detection,parking-report"))


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give each path, method and operation."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def complaints(method: str, path: str, status: int, headers: Mapping[str, str], body: Any) -> list[str]:
    """Say how an answer differs from what is told of it; what is asked where there is no route is no matter of it."""
    operation = _operation(method, path)
    is_no_route = isinstance(body, dict) and body.get("code") == "not_found"
    if operation is None or status == 304 or is_no_route:
        return []
    where = f"{operation['operationId']} {status}"
    described = operation["responses"].get(str(status))
    if described is None:
        return [f"{where} is not described"]
    missing = [name for name, header in described["headers"].items() if header.get("required") and name not in headers]
    kind = headers.get("Content-Type", "").partition(";")[0]
    contents = described.get("content", {})
    if kind not in contents and "*/*" not in contents:
        return [f"{where} is not described as {kind}"]
    problems = [f"{where} has no {name}" for name in missing]
    if kind == "application/json":
        schema = {**contents[kind]["schema"], "components": _closed_components()}
        found = Draft202012Validator(schema).iter_errors(body)
        problems += [f"{where} {error.json_path}: {error.message}" for error in found]
    return problems


def _operation(method: str, path: str) -> dict[str, Any] | None:
    path = path.partition("?")[0]
    # A path without parameters comes first, as in the router: /docs/websocket is none of a longer pattern.
    for template in sorted(document()["paths"], key=lambda template: template.count("{")):
        if re.fullmatch(re.sub(r"\\{[A-Za-z]+\\}", "[^/]+", re.escape(template)), path):
            found: dict[str, Any] | None = document()["paths"][template].get(method.lower())
            return found
    return None


@cache
def _closed_components() -> dict[str, Any]:
    """Clients must ignore fields they do not know, but we must know all that we write."""
    components: dict[str, Any] = copy.deepcopy(document()["components"])
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return components
