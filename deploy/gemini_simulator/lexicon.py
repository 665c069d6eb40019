"""The mood and the keywords of a text by small Korean and English word lists."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

KOREAN: Final = {
    "joy": "행복 기쁘 기뻤 기쁨 즐거 즐겁 신나 신났 좋았 좋은 사랑 웃 재미 뿌듯 설레",
    "calm": "평온 편안 차분 고요 여유 잔잔 쉬었 산책",
    "sadness": "슬프 슬펐 슬픔 슬픈 슬퍼 울었 울음 눈물 외로 외롭 우울 그립 그리웠 속상 아쉬 힘들 힘든 괴로 실망 아팠 헤어졌 불행",
    "anger": "화가 화났 짜증 분노 억울 싸웠 미워",
    "fear": "무서 두려 불안 걱정 긴장 겁이 초조",
    "surprise": "놀라 놀랐 깜짝 갑자기 뜻밖",
}
ENGLISH: Final = {
    "joy": "happ glad joy love fun great wonderful smil laugh delight enjoy excited proud",
    "calm": "calm peace quiet relax rest gentle walk content",
    "sadness": "sad cry cried tear lonel depress miss grief tired unhapp miserabl heartbr disappoint hurt gloom",
    "anger": "angr anger furious annoy hate mad unfair",
    "fear": "afraid fear scare worr anxious nervous",
    "surprise": "surpris sudden unexpected amaz wow",
}
# A day that is not happy is a sad one; one that is not sad need not be happy, but it is no longer a bad one.
OPPOSITE: Final = {
    "joy": "sadness",
    "calm": "fear",
    "sadness": "calm",
    "anger": "calm",
    "fear": "calm",
    "surprise": "calm",
}
NEGATIONS: Final = frozenset({"not", "never", "no", "hardly", "without", "cannot"})
PAUSES: Final = frozenset(".,;:!?") | {"but"}
LABELS: Final = frozenset({"positive", "neutral", "negative"})
WISHES: Final = (re.compile(r"\bmood\s*(?:[:=]|\bis\b)\s*([a-z]+)"), re.compile(r"\b([a-z]+) mood\b"))
STEMS: Final = {emotion: tuple(f"{KOREAN[emotion]} {ENGLISH[emotion]}".split()) for emotion in KOREAN}
STOP_WORDS: Final = frozenset(
    [
        "the",
        "and",
        "for",
        "was",
        "were",
        "with",
        "that",
        "this",
        "have",
        "had",
        "has",
        "you",
        "your",
        "are",
        "but",
        "not",
        "our",
        "out",
        "too",
        "very",
        "from",
        "they",
        "she",
        "him",
        "her",
        "his",
        "its",
        "all",
        "can",
        "did",
        "then",
        "than",
        "them",
        "there",
        "what",
        "when",
        "who",
        "will",
        "about",
        "into",
        "after",
        "again",
        "just",
        "오늘",
        "정말",
        "너무",
        "그리고",
        "그래서",
        "하지만",
        "나는",
        "내가",
        "우리",
        "그냥",
        "아주",
        "매우",
        "조금",
        "같이",
        "에서",
        "했다",
        "있었다",
        "하루",
    ]
)
# Longest first, so that 에서 goes before 서 could.
PARTICLES: Final = re.compile(
    r"(?<=[가-힣]{2})(?:에서|으로|까지|부터|에게|이랑|은|는|이|가|을|를|에|의|도|와|과|로|랑)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """A label, how sure it is (0 … 1), and each emotion's strength (0 … 1)."""

    label: str
    score: float
    emotions: dict[str, float]


def read_mood(text: str) -> Mood:
    """Weigh the emotional words of a text; a word that is denied counts for its opposite."""
    words = re.findall(r"[a-z]+(?:['’][a-z]+)?|[가-힣]+|[.,;:!?]", text.lower())
    hits = Counter(emotion for place in range(len(words)) for emotion in _emotions(words, place))
    balance = hits["joy"] + hits["calm"] - hits["sadness"] - hits["anger"] - hits["fear"]
    label = "positive" if balance > 0 else "negative" if balance < 0 else "neutral"
    score = round(1 - 0.5 ** (abs(balance) + 1), 2)
    return Mood(label=label, score=score, emotions={emotion: round(1 - 0.5 ** hits[emotion], 2) for emotion in STEMS})


def read_wished_mood(prompt: str) -> str:
    """Return the mood a picture should have: what "mood: positive" or "a sad mood" says, else that of all words."""
    for wish in WISHES:
        if found := wish.search(prompt.lower()):
            return found[1] if found[1] in LABELS else read_mood(found[1]).label
    return read_mood(prompt).label


def _emotions(words: list[str], place: int) -> list[str]:
    """Name the emotions of one word, turned round where it is denied."""
    found = [emotion for emotion, stems in STEMS.items() for stem in stems if _matches(words[place], stem)]
    return [OPPOSITE[emotion] for emotion in found] if found and _is_denied(words, place) else found


def _is_denied(words: list[str], place: int) -> bool:
    """Look for "not" and its like before an English word, for 안 before and 지 않 or 없 after a Korean one."""
    word, before = words[place], _words_before(words, place)
    if word.isascii():
        return any(other in NEGATIONS or other.endswith(("n't", "n’t")) for other in before)
    after = words[place + 1] if place + 1 < len(words) else ""
    if word.endswith(("지", "지는", "지도")) and after.startswith(("않", "못")):
        return True
    return "없" in word or after.startswith("없") or before[-1:] in (["안"], ["못"])


def _words_before(words: list[str], place: int) -> list[str]:
    """Return up to three words before one, none from before a pause."""
    before = words[max(0, place - 3) : place]
    pauses = [index for index, word in enumerate(before) if word in PAUSES]
    return before[pauses[-1] + 1 :] if pauses else before


def find_keywords(text: str, limit: int = 8) -> list[str]:
    """List the words a text uses most, earlier ones first at equal counts."""
    words = (PARTICLES.sub("", word) for word in re.findall(r"[a-z]{3,}|[가-힣]{2,}", text.lower()))
    return [word for word, _count in Counter(word for word in words if word not in STOP_WORDS).most_common(limit)]


def _matches(word: str, stem: str) -> bool:
    """Korean stems stand anywhere in a word, English ones at its start."""
    return word.startswith(stem) if stem.isascii() else stem in word
