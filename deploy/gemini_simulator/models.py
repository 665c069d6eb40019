"""The models the simulator knows, and how Gemini lists them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from deploy.gemini_simulator.protocol import RefusedError


class Kind(StrEnum):
    """What a model answers with."""

    IMAGE = "image"
    TEXT = "text"
    EMBEDDING = "embedding"


GENERATE: Final = ("generateContent", "streamGenerateContent", "countTokens")
EMBED: Final = ("embedContent", "batchEmbedContents", "countTokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model by its bare name, without `models/`."""

    name: str
    kind: Kind

    @property
    def methods(self) -> tuple[str, ...]:
        return EMBED if self.kind is Kind.EMBEDDING else GENERATE

    def listing(self) -> dict[str, Any]:
        """Describe the model as `GET /models` does."""
        return {
            "name": f"models/{self.name}",
            "version": "001",
            "displayName": f"{self.name} (simulated)",
            "description": "Answers of this model are made by a simulator on this machine.",
            "inputTokenLimit": 8192 if self.kind is Kind.EMBEDDING else 65536,
            "outputTokenLimit": 1 if self.kind is Kind.EMBEDDING else 32768,
            "supportedGenerationMethods": list(self.methods),
        }


MODELS: Final = {
    name: Model(name=name, kind=kind)
    for kind, names in {
        Kind.IMAGE: ("gemini-nano-banana-2.1", "gemini-3-pro-image", "gemini-3.1-flash-lite-image"),
        Kind.TEXT: (
            "gemini-3.5-flash-lite",
            "gemini-3.8-flash",
            "gemini-4-argon",
            "gemini-3.1-flash-lite",
            "gemini-2.5-flash",
            "gemini-2.5-pro",
        ),
        Kind.EMBEDDING: ("gemini-embedding-2",),
    }.items()
    for name in names
}


def find_model(name: str, method: str, version: str) -> Model:
    """Return a model that offers the method; refuses with Google's 404 otherwise."""
    model = MODELS.get(name)
    if model is None or method not in (*model.methods, "get"):
        raise RefusedError(
            404,
            f"models/{name} is not found for API version {version}, or is not supported for {method}. "
            "Call ListModels to see the list of available models and their supported methods.",
        )
    return model
