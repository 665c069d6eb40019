"""What ``calibrate`` tells of the similarities it has found: counted, and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from service.calibration_pairs import Compared

SIMULATED: Final = "simulated: these numbers say nothing about real photos"
_FEWEST: Final = 30
"""Of each kind: with 30, a share that is really 0.9 is seen as 0.8 to 1."""
_MOST_LISTED: Final = 20
_BARS: Final = 20
_BAR_WIDTH: Final = 24
_THRESHOLDS: Final = tuple(step / 20 for step in range(10, 20))


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Spread(_Told):
    """How the similarities of one kind of pairs are spread."""

    count: int
    by_hash: int
    min: float | None
    p5: float | None
    median: float | None
    p95: float | None
    max: float | None


class Bar(_Told):
    """How many pairs of each kind lie from ``start`` up to ``end``; 1 itself belongs to the last bar."""

    start: float
    end: float
    same: int
    different: int


class Choice(_Told):
    """What a threshold would do; a share is None where there is no such pair."""

    threshold: float
    same_accepted: float | None
    different_accepted: float | None
    balanced_accuracy: float | None


class Misjudged(_Told):
    """A pair on the wrong side of the threshold."""

    row: int
    first: str
    second: str
    same: bool
    similarity: float
    by_hash: bool


class Report(_Told):
    """All that is told; ``wrong_side`` holds the worst ones of ``wrong_side_count``."""

    model: str
    simulated: bool
    warnings: tuple[str, ...]
    threshold: float
    same: Spread
    different: Spread
    histogram: tuple[Bar, ...]
    thresholds: tuple[Choice, ...]
    best: Choice | None
    wrong_side_count: int
    wrong_side: tuple[Misjudged, ...]


def make_report(compared: Sequence[Compared], threshold: float, *, model: str, is_simulated: bool) -> Report:
    """Count what came out; accepted is what reaches the threshold."""
    same = [each for each in compared if each.pair.same]
    different = [each for each in compared if not each.pair.same]
    choices = tuple(_choice(same, different, value) for value in sorted({*_THRESHOLDS, threshold}))
    wrong = [each for each in compared if (each.similarity >= threshold) is not each.pair.same]
    wrong.sort(key=lambda each: -abs(each.similarity - threshold))
    return Report(
        model=model,
        simulated=is_simulated,
        warnings=tuple(_warnings(len(same), len(different), is_simulated=is_simulated)),
        threshold=threshold,
        same=_spread(same),
        different=_spread(different),
        histogram=_histogram(same, different),
        thresholds=choices,
        best=_best(choices),
        wrong_side_count=len(wrong),
        wrong_side=tuple(map(_misjudged, wrong[:_MOST_LISTED])),
    )


def _warnings(same: int, different: int, *, is_simulated: bool) -> Iterator[str]:
    if is_simulated:
        yield SIMULATED
    for count, kind in ((same, "same"), (different, "different")):
        if count < _FEWEST:
            yield f"only {count} {kind} pairs: with fewer than {_FEWEST} of a kind the shares are guesses"


def _spread(compared: Sequence[Compared]) -> Spread:
    values = sorted(each.similarity for each in compared)
    shares = {"min": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}
    points = {name: _quantile(values, share) for name, share in shares.items()}
    return Spread(count=len(values), by_hash=sum(each.by_hash for each in compared), **points)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the value below which the share lies, between two neighbours in proportion; None of nothing."""
    if not ordered:
        return None
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return round(ordered[low] + (ordered[high] - ordered[low]) * (place - low), 4)


def _histogram(same: Sequence[Compared], different: Sequence[Compared]) -> tuple[Bar, ...]:
    # In whole steps of the four decimals that a similarity has: 0.15 * 20 need not be 3.
    kinds = [
        Counter(min(round(each.similarity * 10_000) * _BARS // 10_000, _BARS - 1) for each in kind)
        for kind in (same, different)
    ]
    return tuple(
        Bar(start=at / _BARS, end=(at + 1) / _BARS, same=kinds[0][at], different=kinds[1][at]) for at in range(_BARS)
    )


def _choice(same: Sequence[Compared], different: Sequence[Compared], threshold: float) -> Choice:
    right, wrong = _accepted(same, threshold), _accepted(different, threshold)
    balanced = None if right is None or wrong is None else round((right + 1 - wrong) / 2, 4)
    return Choice(threshold=threshold, same_accepted=right, different_accepted=wrong, balanced_accuracy=balanced)


def _accepted(compared: Sequence[Compared], threshold: float) -> float | None:
    if not compared:
        return None
    return round(sum(each.similarity >= threshold for each in compared) / len(compared), 4)


def _best(choices: Sequence[Choice]) -> Choice | None:
    """Return the threshold that is right most often; of several the middle one, which is farthest from both kinds."""
    most = max((choice.balanced_accuracy or 0.0 for choice in choices), default=0.0)
    tied = [choice for choice in choices if choice.balanced_accuracy == most]
    return tied[len(tied) // 2] if tied else None


def _misjudged(each: Compared) -> Misjudged:
    pair = each.pair
    return Misjudged(
        row=pair.row,
        first=pair.first.name,
        second=pair.second.name,
        same=pair.same,
        similarity=each.similarity,
        by_hash=each.by_hash,
    )


def as_text(report: Report) -> str:
    """Write the report for a terminal."""
    blocks = [
        [warning if warning == SIMULATED else f"warning: {warning}" for warning in report.warnings],
        _spread_lines(report),
        _histogram_lines(report),
        _threshold_lines(report),
        _wrong_side_lines(report),
    ]
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block) + "\n"


def _spread_lines(report: Report) -> list[str]:
    lines = [
        f"Similarity of backgrounds, by the hash and {report.model}:",
        f"{'pairs':<12}{'count':>7}{'min':>9}{'p5':>9}{'median':>9}{'p95':>9}{'max':>9}{'by hash alone':>16}",
    ]
    for kind, spread in (("same", report.same), ("different", report.different)):
        points = (spread.min, spread.p5, spread.median, spread.p95, spread.max)
        numbers = "".join(f"{'-' if point is None else f'{point:.4f}':>9}" for point in points)
        lines.append(f"{kind:<12}{spread.count:>7}{numbers}{spread.by_hash:>16}")
    return lines


def _histogram_lines(report: Report) -> list[str]:
    most_same = max(bar.same for bar in report.histogram)
    most_different = max(bar.different for bar in report.histogram)
    lines = [f"{'similarity':<14}{'same':>5} {'':<{_BAR_WIDTH}}  {'different':>9}"]
    for bar in report.histogram:
        same, different = _drawn(bar.same, most_same), _drawn(bar.different, most_different)
        span = f"{bar.start:.2f} - {bar.end:.2f}"
        lines.append(f"{span:<14}{bar.same:>5} {same:<{_BAR_WIDTH}}  {bar.different:>9} {different}")
    return lines


def _drawn(count: int, most: int) -> str:
    return "#" * -(-count * _BAR_WIDTH // most) if count else ""


def _threshold_lines(report: Report) -> list[str]:
    lines = [f"{'threshold':<12}{'same accepted':>15}{'different accepted':>20}{'balanced accuracy':>19}"]
    for choice in report.thresholds:
        shares = (choice.same_accepted, choice.different_accepted, choice.balanced_accuracy)
        told = ["-" if share is None else f"{share:.1%}" for share in shares]
        marks = ["given"] if choice.threshold == report.threshold else []
        marks += ["best"] if choice == report.best else []
        lines.append(f"{_rounded(choice.threshold):<12}{told[0]:>15}{told[1]:>20}{told[2]:>19}  {', '.join(marks)}")
    if report.best:
        lines.append(f"Best by balanced accuracy: {_rounded(report.best.threshold)}")
    return lines


def _rounded(threshold: float) -> str:
    return f"{threshold:.2f}" if threshold == round(threshold, 2) else f"{threshold:g}"


def _wrong_side_lines(report: Report) -> list[str]:
    count, listed = report.wrong_side_count, len(report.wrong_side)
    if not count:
        return [f"No pair is on the wrong side of {_rounded(report.threshold)}."]
    shown = f", the worst {listed}" if count > listed else ""
    lines = [
        f"On the wrong side of {_rounded(report.threshold)}: {count} of {report.same.count + report.different.count}{shown}"
    ]
    for pair in report.wrong_side:
        how = " by hash" if pair.by_hash else ""
        kind = "same" if pair.same else "different"
        lines.append(f"row {pair.row:<6}{pair.similarity:.4f}  said to be {kind}{how}: {pair.first}, {pair.second}")
    return lines
