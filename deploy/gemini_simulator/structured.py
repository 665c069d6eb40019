"""Structured answers: walks the schema of a request and writes JSON that obeys it, from what was really observed."""

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from deploy.gemini_simulator.lexicon import Mood
from deploy.gemini_simulator.plates import Plate
from deploy.gemini_simulator.protocol import JSONObject, RefusedError, pick
from deploy.gemini_simulator.vision import Detection

DEEPEST: Final = 8
FORMATS: Final = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T09:00:00Z",
    "time": "09:00:00Z",
    "duration": "P1D",
    "email": "simulated@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the simulator saw in the images and read in the text of one request."""

    detections: tuple[Detection, ...]
    mood: Mood
    keywords: tuple[str, ...]
    seed: int


def wants_boxes(schema: object) -> bool:
    """Tell whether a schema asks for boxes anywhere."""
    if isinstance(schema, dict):
        return "box_2d" in schema or any(wants_boxes(part) for part in schema.values())
    return isinstance(schema, list) and any(wants_boxes(part) for part in schema)


def wants_plates(schema: object) -> bool:
    """Tell whether a schema asks for a plate: any property whose name contains "plate"."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        named = isinstance(properties, dict) and any("plate" in str(name).lower() for name in properties)
        return named or any(wants_plates(part) for part in schema.values())
    return isinstance(schema, list) and any(wants_plates(part) for part in schema)


def fill(schema: JSONObject, observation: Observation) -> Any:
    """Write a value that is valid for the schema: OpenAPI's dialect or JSON Schema, in either spelling.

    Refuses a schema that is none with 400.
    """
    try:
        return _Walk(schema, observation).value(schema, _Place())
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, re.error) as error:
        raise RefusedError(400, f"Invalid value at 'generation_config.response_schema': {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where in the answer a value stands: its property's name, the detection it belongs to, how deep it lies."""

    name: str = ""
    detection: Detection | None = None
    depth: int = 0

    @property
    def is_plate(self) -> bool:
        return "plate" in self.name.lower()


class _Walk:
    """One walk through one schema. Names of properties say which observation belongs where."""

    def __init__(self, root: JSONObject, observation: Observation) -> None:
        self._root = root
        self._seen = observation
        self._chance = random.Random(observation.seed)  # noqa: S311 - repeatable on purpose
        self._writers: dict[str, Callable[[JSONObject, _Place], Any]] = {
            "object": self._object,
            "array": self._array,
            "integer": lambda schema, place: math.ceil(self._number(schema, place, 1)),
            "number": lambda schema, place: self._number(schema, place, 1e-6),
            "boolean": self._boolean,
            "null": lambda _schema, _place: None,
            "string": self._string,
        }

    def value(self, schema: JSONObject, place: _Place) -> Any:
        if place.is_plate and self._plate(place) is None and self._allows_null(schema):
            return None
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if choices := schema.get("enum"):
            return self._choose(choices, place.detection)
        return self._writers.get(_type(schema), self._string)(schema, place)

    def _resolve(self, schema: JSONObject) -> JSONObject:
        """Follow references and take the first branch that is not null."""
        for _step in range(DEEPEST):
            branches = pick(schema, "anyOf") or pick(schema, "oneOf") or pick(schema, "allOf")
            if reference := schema.get("$ref") or schema.get("ref"):
                schema = self._target(str(reference))
            elif branches:
                full = [branch for branch in branches if _type(branch) != "null"]
                schema = {**_without_branches(schema), **(full or branches)[0]}
            else:
                return schema
        return {"type": "null"}

    def _allows_null(self, schema: JSONObject) -> bool:
        given = schema.get("type")
        branches = [*(pick(schema, "anyOf") or ()), *(pick(schema, "oneOf") or ())]
        names = [str(name).lower() for name in (given if isinstance(given, list) else [given])]
        return bool(schema.get("nullable")) or "null" in names or any(self._allows_null(branch) for branch in branches)

    def _target(self, reference: str) -> JSONObject:
        target: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = target.get(step, {}) if step else target
        return dict(target)

    def _object(self, schema: JSONObject, place: _Place) -> JSONObject:
        properties: JSONObject = schema.get("properties") or {}
        detection = place.detection
        if "box_2d" in properties and detection is None and self._seen.detections:
            detection = self._seen.detections[0]  # the surest
        # Deep down only what must be there is written, so that a schema that contains itself comes to an end.
        wanted = properties if place.depth < DEEPEST else schema.get("required") or ()
        return {
            name: self.value(properties.get(name, {}), _Place(name=name, detection=detection, depth=place.depth + 1))
            for name in wanted
        }

    def _array(self, schema: JSONObject, place: _Place) -> list[Any]:
        if place.name == "box_2d":
            return list(place.detection.box) if place.detection else [0, 0, 1000, 1000]
        within = replace(place, depth=place.depth + 1)
        if prefix := pick(schema, "prefixItems"):
            return [self.value(item, within) for item in prefix]
        least, most = int(pick(schema, "minItems") or 0), int(pick(schema, "maxItems") or 8)
        items = self._resolve(schema.get("items") or {})
        if "box_2d" in (items.get("properties") or {}):
            found: Sequence[Detection | None] = self._seen.detections[:most]
            padded = [*found, *[None] * (least - len(found))]
            return [self.value(items, replace(within, detection=detection)) for detection in padded]
        if _type(items) == "string" and place.name.lower().startswith(("keyword", "tag")):
            return self._keywords(least, most)
        count = min(most, max(least, int(place.depth < DEEPEST)))
        return [self.value(items, within) for _item in range(count)]

    def _keywords(self, least: int, most: int) -> list[str]:
        words = list(self._seen.keywords[:most])
        return words + [f"keyword {number + 1}" for number in range(len(words), least)]

    def _choose(self, choices: list[Any], detection: Detection | None) -> Any:
        seen = detection.label if detection else self._seen.mood.label
        fitting = [choice for choice in choices if str(choice).lower() == seen]
        return self._chance.choice(fitting or choices)

    def _number(self, schema: JSONObject, place: _Place, gap: float) -> float:
        """Fit the limits; `gap` is how far an exclusive one is kept away from."""
        above, below = pick(schema, "exclusiveMinimum"), pick(schema, "exclusiveMaximum")
        low = schema.get("minimum", -math.inf if above is None else above + gap)
        high = schema.get("maximum", math.inf if below is None else below - gap)
        number: float = min(max(self._observed_number(place), low), high)
        step = pick(schema, "multipleOf")
        return math.ceil(number / step) * float(step) if step else number

    def _observed_number(self, place: _Place) -> float:
        seen, name, detection = self._seen, place.name.lower(), place.detection
        if place.is_plate:
            plate = self._plate(place)
            return plate.confidence if plate else 0.0
        if name in seen.mood.emotions:
            return seen.mood.emotions[name]
        if "count" in name:
            return len(seen.detections)
        if "confidence" in name:
            surest = max((one.confidence for one in seen.detections), default=0.0)
            return detection.confidence if detection else surest
        return seen.mood.score if "score" in name else 0.0

    def _boolean(self, _schema: JSONObject, place: _Place) -> bool:
        return self._plate(place) is not None if place.is_plate else bool(self._seen.detections)

    def _string(self, schema: JSONObject, place: _Place) -> str:
        """Fit format, length and, as far as a candidate does, the pattern; a plate is what was read, or empty."""
        if place.is_plate:
            plate = self._plate(place)
            return plate.text if plate else ""
        text = FORMATS.get(schema.get("format", ""), self._observed_string(place.name.lower(), place.detection))
        if pattern := schema.get("pattern"):
            candidates = (text, "simulated", "1", "A1", "2026-01-01", "09:00", "#336699")
            return next((candidate for candidate in candidates if re.search(pattern, candidate)), text)
        least, most = int(pick(schema, "minLength") or 0), int(pick(schema, "maxLength") or 10_000)
        return text.ljust(least, ".")[:most]

    def _observed_string(self, name: str, detection: Detection | None) -> str:
        if name in {"label", "type", "kind", "class"} and detection:
            return detection.label
        if name in {"sentiment", "mood", "label"}:
            return self._seen.mood.label
        if name == "scene":
            return self._scene()
        return f"Simulated {name}".strip()

    def _scene(self) -> str:
        """Describe what an illustrator could paint for the text."""
        about = ", ".join(self._seen.keywords[:3]) or "an ordinary day"
        feeling = {"positive": "a happy", "negative": "a sad"}.get(self._seen.mood.label, "an everyday")
        return f"A gentle scene about {about}, in {feeling} mood."

    def _plate(self, place: _Place) -> Plate | None:
        """Return the plate of the vehicle a value is about: its own, or else that of the largest."""
        largest = max(self._seen.detections, key=lambda detection: detection.area, default=None)
        subject = place.detection or largest
        return subject.plate if subject else None


def _type(schema: JSONObject) -> str:
    """Name the type in lower case; of several, the first that is not null; from the fields where none is given."""
    given = schema.get("type")
    names = [str(name).lower() for name in (given if isinstance(given, list) else [given] if given else [])]
    if not names:
        return "object" if "properties" in schema else "array" if "items" in schema else "string"
    return next((name for name in names if name != "null"), "null")


def _without_branches(schema: JSONObject) -> JSONObject:
    branching = {"anyOf", "any_of", "oneOf", "one_of", "allOf", "all_of"}
    return {name: value for name, value in schema.items() if name not in branching}
