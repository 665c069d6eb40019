"""The portrait looks the simulator can give a photo, and the words of a prompt that ask for each."""

import re
from dataclasses import dataclass, replace
from typing import Final

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a photo is treated: 1.0 leaves colour, contrast and brightness as they are; shares run from 0 to 1."""

    name: str
    words: tuple[str, ...]
    backdrop: tuple[Colour, Colour]
    backdrop_share: float
    ratio: float | None = None
    warmth: float = 0.0
    colour: float = 1.0
    contrast: float = 1.0
    brightness: float = 1.0
    glow: float = 0.0
    vignette: float = 0.0
    monochrome: bool = False


PROFESSIONAL: Final = Look(
    name="professional",
    words=("professional headshot", "profile photo", "linkedin"),
    backdrop=((206, 212, 220), (118, 128, 142)),
    backdrop_share=0.8,
    contrast=1.08,
    brightness=1.03,
    vignette=0.15,
)
LOOKS: Final = (
    Look(
        name="id-photo",
        words=("id photo", "id-photo", "identity photo", "identification", "passport", "biometric", "증명사진", "여권"),
        backdrop=((250, 251, 252), (232, 238, 245)),
        backdrop_share=1.0,
        ratio=7 / 9,
        contrast=1.05,
        brightness=1.08,
    ),
    Look(
        name="formal",
        words=("formal", "interview", "business suit", "dark suit", "정장", "면접"),
        backdrop=((176, 190, 206), (62, 78, 98)),
        backdrop_share=0.95,
        ratio=4 / 5,
        colour=0.85,
        contrast=1.15,
        vignette=0.2,
    ),
    Look(
        name="casual",
        words=("casual", "relaxed", "office", "캐주얼"),
        backdrop=((226, 222, 214), (160, 164, 168)),
        backdrop_share=0.35,
        warmth=0.03,
        brightness=1.06,
        glow=0.12,
    ),
    Look(
        name="outdoor",
        words=("outdoor", "park", "greenery", "sunlight", "야외", "자연광"),
        backdrop=((176, 214, 240), (104, 150, 88)),
        backdrop_share=0.6,
        warmth=0.04,
        colour=1.25,
        brightness=1.07,
        glow=0.18,
    ),
    Look(
        name="warm",
        words=("warm", "friendly", "approachable", "welcoming", "친근", "따뜻"),
        backdrop=((250, 226, 190), (196, 138, 92)),
        backdrop_share=0.65,
        warmth=0.1,
        colour=1.08,
        glow=0.25,
        vignette=0.12,
    ),
    Look(
        name="announcer",
        words=("announcer", "anchor", "broadcast", "lecturer", "newsroom", "아나운서", "강사"),
        backdrop=((58, 110, 190), (10, 22, 64)),
        backdrop_share=0.92,
        warmth=-0.03,
        contrast=1.22,
        brightness=1.05,
    ),
    Look(
        name="creative",
        words=("creative", "artistic", "bold colour", "bold color", "designer", "크리에이티브"),
        backdrop=((255, 122, 134), (58, 44, 142)),
        backdrop_share=0.85,
        colour=1.35,
        contrast=1.12,
        glow=0.1,
    ),
    Look(
        name="academic",
        words=("academic", "scholar", "research", "university", "library", "학술", "연구"),
        backdrop=((128, 98, 70), (44, 32, 26)),
        backdrop_share=0.8,
        warmth=0.05,
        colour=0.75,
        contrast=1.1,
        vignette=0.35,
    ),
    Look(
        name="mono",
        words=("black and white", "black-and-white", "monochrome", "mono", "greyscale", "grayscale", "흑백"),
        backdrop=((200, 200, 200), (60, 60, 60)),
        backdrop_share=0.5,
        contrast=1.25,
        vignette=0.3,
        monochrome=True,
    ),
    PROFESSIONAL,
)
_PLAIN: Final = re.compile(r"\bbackground\b[^#\n]*#([0-9a-fA-F]{6})\b")
"""A background of one colour, as a prompt asks for it."""


def choose_look(prompt: str) -> Look:
    """Return the look whose word stands first in the prompt, on the plain background if it asks for one.

    A prompt names its style before it describes it.
    """
    places = [(found.start(), look) for look in LOOKS for word in look.words if (found := _find(word, prompt.lower()))]
    look = min(places, key=lambda place: place[0])[1] if places else PROFESSIONAL
    plain = _PLAIN.search(prompt)
    if plain is None:
        return look
    colour = bytes.fromhex(plain[1])
    return replace(look, backdrop=((colour[0], colour[1], colour[2]),) * 2, backdrop_share=1.0, vignette=0.0)


def _find(word: str, text: str) -> re.Match[str] | None:
    """Find an English word at a word's start, a Korean one anywhere."""
    return re.search(rf"\b{re.escape(word)}" if word.isascii() else word, text)
