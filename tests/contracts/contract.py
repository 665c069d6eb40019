"""The AsyncAPI document as a judge: is this message one that it describes?"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft7Validator

from websocket import asyncapi

FOLDER: Final = Path(__file__).parent
TRANSCRIPTS: Final = sorted((FOLDER / "transcripts").glob("*.jsonl"))
DOCUMENT: Final[dict[str, Any]] = asyncapi.document("https://photos.example.com")


def complaints(message: dict[str, Any], *, of_client: bool = False) -> list[str]:
    """Say how a message differs from its description; a field that is not described is a difference too."""
    name = f"client.{message['type']}" if of_client else message["type"]
    if name not in DOCUMENT["components"]["messages"]:
        return [f"{name} is not described"]
    schema = {"$ref": f"#/components/messages/{name}/payload", "components": _closed_components()}
    return [f"{name} {error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(message)]


def read_transcript(file: Path) -> list[dict[str, Any]]:
    """Read what was recorded, in order."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def _closed_components() -> dict[str, Any]:
    """Clients must ignore fields they do not know, but we must know all that we write."""
    components: dict[str, Any] = copy.deepcopy(DOCUMENT["components"])
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return components
