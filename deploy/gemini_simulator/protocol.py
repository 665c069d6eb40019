"""Gemini's REST protocol: requests as the SDK and plain callers send them, errors as Google writes them."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

JSONObject = dict[str, Any]

STATUS_NAMES: Final = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
ASPECT_RATIOS: Final = frozenset(
    {"1:1", "1:4", "1:8", "2:3", "3:2", "3:4", "4:1", "4:3", "4:5", "5:4", "8:1", "9:16", "16:9", "21:9"}
)
IMAGE_SIZES: Final = frozenset({"1K", "2K", "4K"})
DEFAULT_DIMENSIONS: Final = 3072
IMAGE_TOKENS: Final = {"LOW": 280, "MEDIUM": 560, "HIGH": 1120, "ULTRA_HIGH": 2240}


class RefusedError(Exception):
    """A call that Gemini answers with an error: the HTTP status, a sentence, and Google's details."""

    def __init__(self, status: int, message: str, details: Sequence[JSONObject] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = tuple(details)

    def body(self) -> bytes:
        """Write the error as the JSON body that every Google API answers with."""
        error: JSONObject = {"code": self.status, "message": self.message, "status": STATUS_NAMES[self.status]}
        if self.details:
            error["details"] = list(self.details)
        return to_json({"error": error})


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One turn of a conversation, or one entry of an embedding request."""

    texts: tuple[str, ...]
    images: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, whatever spelling it came in."""

    model: str
    contents: tuple[Content, ...]
    system: str = ""
    modalities: frozenset[str] = frozenset()
    mime_type: str = "text/plain"
    schema: JSONObject | None = None
    seed: int = 0
    aspect_ratio: str | None = None
    includes_thoughts: bool = False
    image_tokens: int = IMAGE_TOKENS["HIGH"]
    dimensions: int = DEFAULT_DIMENSIONS

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for content in self.contents for text in content.texts)

    @property
    def images(self) -> tuple[bytes, ...]:
        return tuple(image for content in self.contents for image in content.images)

    @property
    def prompt(self) -> str:
        """Everything that was written, the system's instruction first."""
        return "\n".join(filter(None, (self.system, *self.texts)))

    def digest(self) -> str:
        """Name the prompt and its images: the same for every attempt, whatever its seed."""
        digest = hashlib.blake2b(f"{self.model}\n{self.prompt}".encode(), digest_size=16)
        for image in self.images:
            digest.update(hashlib.blake2b(image).digest())
        return digest.hexdigest()


def to_json(value: object) -> bytes:
    """Write compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def pick(fields: Mapping[str, Any], name: str) -> Any:
    """Return a field by its camelCase name, however it is spelt; the SDK mixes both spellings."""
    if name in fields:
        return fields[name]
    return fields.get(re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name))


def parse_generation(model: str, body: bytes) -> Call:
    """Read a generateContent or countTokens request."""
    request = _load(body)
    config = _object(pick(request, "generationConfig"), "generation_config")
    image_config = _object(pick(config, "imageConfig"), "image_config")
    thinking = _object(pick(config, "thinkingConfig"), "thinking_config")
    contents = tuple(_content(content) for content in _list(request.get("contents"), "contents"))
    if not any(content.texts or content.images for content in contents):
        raise RefusedError(400, "* GenerateContentRequest.contents: contents is not specified\n")
    system = pick(request, "systemInstruction")
    return Call(
        model=model,
        contents=contents,
        system="\n".join(_content(system).texts) if system else "",
        modalities=frozenset(str(word).upper() for word in pick(config, "responseModalities") or ()),
        mime_type=str(pick(config, "responseMimeType") or "text/plain"),
        schema=_schema(config),
        seed=int(config.get("seed") or 0),
        aspect_ratio=_image_shape(image_config),
        includes_thoughts=bool(pick(thinking, "includeThoughts")),
        image_tokens=_image_tokens(config),
    )


def parse_embedding(model: str, body: bytes) -> Call:
    """Read an embedContent or batchEmbedContents request: each entry is one content, so one vector."""
    request = _load(body)
    entries = _list(request.get("requests"), "requests") if "requests" in request else [request]
    if not entries:
        raise RefusedError(400, "* BatchEmbedContentsRequest.requests: at least one request is required\n")
    sizes = {int(pick(entry, "outputDimensionality") or DEFAULT_DIMENSIONS) for entry in entries}
    if len(sizes) > 1 or not 128 <= max(sizes) <= DEFAULT_DIMENSIONS:
        raise RefusedError(400, "* EmbedContentRequest.output_dimensionality: one number from 128 to 3072\n")
    contents = tuple(_content(entry.get("content")) for entry in entries)
    if not all(content.texts or content.images for content in contents):
        raise RefusedError(400, "* EmbedContentRequest.content: contents is not specified\n")
    return Call(
        model=model,
        contents=contents,
        dimensions=max(sizes),
    )


def decode_base64(text: str) -> bytes:
    """Decode either alphabet, padded or not."""
    plain = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise RefusedError(400, "Invalid value at 'inline_data.data' (TYPE_BYTES), Base64 decoding failed") from None


def _load(body: bytes) -> JSONObject:
    try:
        request = json.loads(body)
    except ValueError as error:
        raise RefusedError(400, f"Invalid JSON payload received. {error}") from None
    return _object(request, "request")


def _object(value: object, name: str) -> JSONObject:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RefusedError(400, f"Invalid value at '{name}': an object is expected")
    return value


def _list(value: object, name: str) -> list[JSONObject]:
    values = [value] if isinstance(value, dict) else value
    if values is None:
        return []
    if not isinstance(values, list):
        raise RefusedError(400, f"Invalid value at '{name}': a list is expected")
    return [_object(item, name) for item in values]


def _content(value: object) -> Content:
    parts = _list(_object(value, "content").get("parts"), "parts")
    if any(pick(part, "fileData") for part in parts):
        raise RefusedError(400, "The simulator reads no file_data; send inline_data.")
    blobs = (_object(pick(part, "inlineData"), "inline_data") for part in parts)
    return Content(
        texts=tuple(str(part["text"]) for part in parts if part.get("text")),
        images=tuple(decode_base64(str(blob.get("data", ""))) for blob in blobs if blob),
    )


def _schema(config: JSONObject) -> JSONObject | None:
    schema = pick(config, "responseSchema") or pick(config, "responseJsonSchema")
    return _object(schema, "response_schema") or None


def _image_shape(image_config: JSONObject) -> str | None:
    """Check what Gemini checks of an image's shape; the simulator's pictures stay within 1K."""
    size = pick(image_config, "imageSize") or "1K"
    ratio: str | None = pick(image_config, "aspectRatio")
    if size not in IMAGE_SIZES or (ratio and ratio not in ASPECT_RATIOS):
        raise RefusedError(400, f"Invalid value at 'image_config': image_size {size!r}, aspect_ratio {ratio!r}")
    return ratio


def _image_tokens(config: JSONObject) -> int:
    level = str(pick(config, "mediaResolution") or "").removeprefix("MEDIA_RESOLUTION_")
    return IMAGE_TOKENS.get(level, IMAGE_TOKENS["HIGH"])
