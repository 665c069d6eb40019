"""The schemas of the OpenAPI document, collected from the types that describe requests and answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from service.openapi.examples import EXAMPLES
from service.openapi.operations import Shape

_Object = dict[str, Any]
_REFERENCE = "#/components/schemas/"


class _Untitled(GenerateJsonSchema):
    """Schemas without a title for each field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


class Schemas:
    """Describes types, and keeps those that have a name for ``components``."""

    def __init__(self) -> None:
        self.components: _Object = {}
        self._described: dict[tuple[Shape, JsonSchemaMode], _Object] = {}

    def describe(self, shape: Shape, mode: JsonSchemaMode) -> _Object:
        """Return the schema of a type, as it is read or as it is written; one with a name is a reference."""
        if (shape, mode) not in self._described:
            self._described[shape, mode] = self._describe(shape, mode)
        return self._described[shape, mode]

    def _describe(self, shape: Shape, mode: JsonSchemaMode) -> _Object:
        adapter: TypeAdapter[Any] = TypeAdapter(shape)
        found, shared = TypeAdapter.json_schemas(
            [("it", mode, adapter)], ref_template=_REFERENCE + "{model}", schema_generator=_Untitled
        )
        for name, schema in shared.get("$defs", {}).items():
            if self.components.setdefault(name, schema) != schema:
                raise ValueError(f"Two types of the API are called {name}")
        return found["it", mode]

    def content(self, shape: Shape, mode: JsonSchemaMode) -> _Object:
        """Return what a body of this type is, with examples of it."""
        schema = self.describe(shape, mode)
        names = [name for name in _names(schema) if name in EXAMPLES]
        return {"schema": schema} | ({"examples": {name: {"value": EXAMPLES[name]} for name in names}} if names else {})

    def query(self, model: type[BaseModel]) -> list[_Object]:
        """Return the parameters that a model reads from the query."""
        schema = model.model_json_schema(ref_template=_REFERENCE + "{model}", schema_generator=_Untitled)
        self.components |= schema.pop("$defs", {})
        required = schema.get("required", ())
        return [
            {"name": name, "in": "query", "required": name in required, "schema": _without_null(field)}
            for name, field in schema.get("properties", {}).items()
        ]


def _names(schema: _Object) -> list[str]:
    """Name the types that a schema refers to."""
    choices = schema.get("anyOf", [schema])
    return [choice["$ref"].removeprefix(_REFERENCE) for choice in choices if "$ref" in choice]


def _without_null(schema: _Object) -> _Object:
    """Leave null out: a query is text."""
    kept = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    plain = {name: value for name, value in schema.items() if name != "anyOf" and (name, value) != ("default", None)}
    return plain | (kept[0] if len(kept) == 1 else {"anyOf": kept} if kept else {})
