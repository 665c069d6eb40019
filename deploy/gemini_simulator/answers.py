"""Answers: what Gemini would send back for one request, made once and ready to go out as bytes."""

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Final

from PIL import Image

from deploy.gemini_simulator import embeddings, faults, lexicon, pictures, structured, vision
from deploy.gemini_simulator.faults import MARKER, Markers
from deploy.gemini_simulator.models import Kind, Model
from deploy.gemini_simulator.protocol import Call, JSONObject, RefusedError, parse_embedding, parse_generation, to_json

# Plates want to be read at the size they come in.
VISION_SIDE: Final = 2048
PICTURE_TOKENS: Final = 1120
JSON_TYPE: Final = "application/json"
NO_IMAGE_MESSAGE: Final = (
    "Unable to show the generated image. The model could not generate the image based on the prompt provided."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A finished answer: `outcome` is its name in the statistics, `prompt` names the prompt and its images."""

    prompt: str
    outcome: str = "ok"
    status: int = 200
    content_type: str = JSON_TYPE
    body: bytes = b""
    slow_seconds: float | None = None
    hangs: bool = False
    fails_once: bool = False


def compose(method: str, model: Model, body: bytes, *, sse: bool) -> Answer:
    """Make the answer to one request; it takes CPU time, so call it in a worker thread."""
    answer = Answer(prompt=hashlib.blake2b(body, digest_size=16).hexdigest())
    try:
        call = _parse(method, model, body)
        answer = replace(answer, prompt=call.digest())
        markers = faults.read_markers(call.prompt)
        answer = replace(
            answer,
            slow_seconds=markers.slow_seconds,
            hangs="hang" in markers.words,
            fails_once="500-once" in markers.words,
        )
        return _broken(answer, markers, model) or _whole(answer, markers, method, model, call, sse=sse)
    except RefusedError as refusal:
        return replace(answer, outcome=str(refusal.status), status=refusal.status, body=refusal.body())


def _parse(method: str, model: Model, body: bytes) -> Call:
    parse = parse_embedding if model.kind is Kind.EMBEDDING and method != "countTokens" else parse_generation
    try:
        return parse(model.name, body)
    except (TypeError, ValueError, AttributeError) as error:
        raise RefusedError(400, f"Invalid JSON payload received. {error}") from None


def _broken(answer: Answer, markers: Markers, model: Model) -> Answer | None:
    """Return the failure that the markers ask for instead of an answer."""
    if "429" in markers.words:
        raise faults.quota_exceeded(model.name, 1, 60)
    if "503" in markers.words:
        raise faults.overloaded()
    if "html-502" in markers.words:
        page = b"<!DOCTYPE html><html><title>Error 502 (Server Error)!!1</title><p>Please try again.</html>"
        return replace(answer, outcome="502", status=502, content_type="text/html", body=page)
    if "bad-json" in markers.words:
        return replace(answer, outcome="bad-json", body=b'{"candidates":[{"content":{"parts":[{"text":"Here')
    return answer if answer.hangs else None


def _whole(answer: Answer, markers: Markers, method: str, model: Model, call: Call, *, sse: bool) -> Answer:
    longest_side = VISION_SIDE if model.kind is Kind.TEXT else pictures.LONGEST_SIDE
    photos = [[pictures.open_photo(data, longest_side) for data in content.images] for content in call.contents]
    if method == "countTokens":
        return replace(answer, body=to_json(_prompt_tokens(call, "totalTokens", "promptTokensDetails")))
    if model.kind is Kind.EMBEDDING:
        return replace(answer, body=to_json(_embeddings(method, call, photos)))
    maker = _Generation(call, markers, model, [photo for row in photos for photo in row], answer.prompt)
    outcome, responses = maker.responses()
    if method == "generateContent":
        return replace(answer, outcome=outcome, body=to_json(responses[-1]))
    events = _events(responses[-1], responses[:-1])
    if not sse:
        return replace(answer, outcome=outcome, body=to_json(events))
    lines = b"".join(b"data: " + to_json(event) + b"\r\n\r\n" for event in events)
    return replace(answer, outcome=outcome, content_type="text/event-stream", body=lines)


def _embeddings(method: str, call: Call, photos: list[list[Image.Image]]) -> JSONObject:
    vectors = [
        {"values": embeddings.embed([MARKER.sub("", text) for text in content.texts], row, call.dimensions)}
        for content, row in zip(call.contents, photos, strict=True)
    ]
    usage = _prompt_tokens(call, "promptTokenCount", "promptTokenDetails")
    found: JSONObject = {"embedding": vectors[0]} if method == "embedContent" else {"embeddings": vectors}
    return {**found, "usageMetadata": usage}


def _prompt_tokens(call: Call, total_name: str, details_name: str) -> JSONObject:
    texts, images = _text_tokens(call.prompt), call.image_tokens * len(call.images)
    details = [{"modality": "TEXT", "tokenCount": texts}, {"modality": "IMAGE", "tokenCount": images}]
    return {total_name: texts + images, details_name: [row for row in details if row["tokenCount"]]}


def _text_tokens(text: str) -> int:
    return (len(text.encode()) + 3) // 4


def _events(response: JSONObject, before: list[JSONObject]) -> list[JSONObject]:
    """Split an answer into what a stream sends: part by part, the last with its reason and the usage."""
    candidates = response.get("candidates") or [{}]
    parts = (candidates[0].get("content") or {}).get("parts") or []
    frame = {"modelVersion": response["modelVersion"], "responseId": response["responseId"]}
    firsts = [
        {"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}], **frame} for part in parts[:-1]
    ]
    if not parts:
        return [*before, response]
    last = {**candidates[0], "content": {"parts": parts[-1:], "role": "model"}}
    return [*before, *firsts, {**response, "candidates": [last]}]


class _Generation:
    """The making of one generateContent answer."""

    def __init__(self, call: Call, markers: Markers, model: Model, photos: list[Image.Image], prompt: str) -> None:
        self._call = call
        self._words = markers.words
        self._photos = photos
        self._wants_image = model.kind is Kind.IMAGE or "IMAGE" in call.modalities
        self._seed = int.from_bytes(hashlib.blake2b(f"{prompt} {call.seed}".encode(), digest_size=8).digest())
        if model.kind is Kind.IMAGE and call.schema:
            raise RefusedError(400, "JSON mode is not enabled for this model")

    def responses(self) -> tuple[str, list[JSONObject]]:
        """Return the outcome's name and the answer, for a stream with a thought before it."""
        if "safety" in self._words:
            return "safety", [self._response({"promptFeedback": {"blockReason": "SAFETY"}}, 0)]
        if "no-image" in self._words and self._wants_image:
            refused = {"finishReason": "NO_IMAGE", "index": 0, "finishMessage": NO_IMAGE_MESSAGE}
            return "no-image", [self._response({"candidates": [refused]}, 0)]
        outcome, parts, modality, tokens = self._parts()
        candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}
        answer = self._response({"candidates": [candidate]}, tokens, modality)
        return outcome, [*self._thoughts(), answer]

    def _parts(self) -> tuple[str, list[JSONObject], str, int]:
        """Return the outcome's name, the parts, what they are and their tokens."""
        if "text" in self._words:
            outcome, text = "text", self._written()
        elif self._wants_image:
            return "ok", self._picture(), "IMAGE", PICTURE_TOKENS
        else:
            wants_json = self._call.schema is not None or self._call.mime_type == JSON_TYPE
            outcome, text = "ok", self._structured() if wants_json else self._written()
        return outcome, [{"text": text}], "TEXT", _text_tokens(text)

    def _picture(self) -> list[JSONObject]:
        mime_type = "image/jpeg" if "jpeg" in self._words else "image/png"
        if self._photos:
            ratio = self._call.aspect_ratio
            picture = pictures.restyle(self._photos[0], self._call.prompt, ratio, self._seed)
        else:
            picture = pictures.paint(
                lexicon.read_wished_mood(self._subject_text()), self._call.aspect_ratio, self._seed
            )
        data = base64.b64encode(pictures.encode(picture, mime_type)).decode()
        part: JSONObject = {"inlineData": {"mimeType": mime_type, "data": data}, "thoughtSignature": "c2ltdWxhdGVk"}
        return [part] if self._call.modalities == {"IMAGE"} else [{"text": "Here is your picture."}, part]

    def _structured(self) -> str:
        schema = self._call.schema or {"type": "object", "properties": {"answer": {"type": "string"}}}
        observation = structured.Observation(
            detections=self._detections(schema),
            mood=self._mood(),
            keywords=tuple(lexicon.find_keywords(self._subject_text())),
            seed=self._seed,
        )
        return json.dumps(structured.fill(schema, observation), ensure_ascii=False)

    def _detections(self, schema: JSONObject) -> tuple[vision.Detection, ...]:
        with_plates = structured.wants_plates(schema)
        if not self._photos or not (with_plates or structured.wants_boxes(schema)):
            return ()
        asked = f"{self._call.prompt} {json.dumps(schema, ensure_ascii=False)}".lower()
        if "crack" in asked or "균열" in asked:
            return vision.find_cracks(self._photos[0])
        return vision.find_vehicles(self._photos[0], with_plates=with_plates)

    def _mood(self) -> lexicon.Mood:
        return lexicon.read_mood(self._subject_text())

    def _subject_text(self) -> str:
        """Return the last text of the request: what goes before it is instruction."""
        return MARKER.sub("", self._call.texts[-1]) if self._call.texts else ""

    def _written(self) -> str:
        sizes = ", ".join(f"{photo.width} x {photo.height}" for photo in self._photos)
        seen = f" Pictures: {sizes} pixels." if sizes else ""
        return f"A simulated answer to: {self._subject_text().strip()[:200]}{seen}"

    def _thoughts(self) -> list[JSONObject]:
        if not self._call.includes_thoughts:
            return []
        parts = [{"text": "**Looking at the request**\n", "thought": True}]
        return [self._response({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}]}, 0)]

    def _response(self, answer: JSONObject, tokens: int, modality: str = "TEXT") -> JSONObject:
        usage: dict[str, Any] = _prompt_tokens(self._call, "promptTokenCount", "promptTokensDetails")
        if tokens:
            usage["candidatesTokenCount"] = tokens
            usage["candidatesTokensDetails"] = [{"modality": modality, "tokenCount": tokens}]
        usage["totalTokenCount"] = usage["promptTokenCount"] + tokens
        return {
            **answer,
            "usageMetadata": usage,
            "modelVersion": self._call.model,
            "responseId": f"sim-{self._seed:016x}",
        }
