"""What a run must not exceed: ``completed.p95 > 20s``, ``missed > 0``, ``errors > 1%``."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

DEFAULTS: Final = ("missed > 0", "duplicated > 0", "errors > 1%")

_FORM: Final = re.compile(r"\s*([a-z_]+)(?:\.([a-z0-9]+))?\s*(>=|<=|>|<)\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|%)?\s*")
_COMPARISONS: Final = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_FACTORS: Final = {"ms": 0.001, "s": 1.0, "%": 0.01, "": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A figure and where it becomes a failure; ``limit`` is in seconds for times, from 0 to 1 for shares."""

    text: str
    figure: str
    statistic: str
    comparison: str
    limit: float

    def value(self, figures: Mapping[str, Any]) -> float | None:
        """Return what was measured, None where nothing was."""
        measured = figures[self.figure]
        value: float | None = measured[self.statistic] if self.statistic and measured else measured
        return value

    def is_exceeded(self, figures: Mapping[str, Any]) -> bool:
        """Tell whether the run has failed by this; what was not measured is no success."""
        value = self.value(figures)
        return value is None or bool(_COMPARISONS[self.comparison](value, self.limit))

    def shown_value(self, figures: Mapping[str, Any]) -> str:
        """Return what was measured, in words."""
        value = self.value(figures)
        if value is None:
            return "not measured"
        if self.statistic:
            return f"{value:.3f} s"
        return f"{value:.2%}" if self.figure == "errors" else f"{value:g}"


def parse(text: str, *, times: Iterable[str], numbers: Iterable[str], statistics: Iterable[str]) -> Threshold:
    """Read one threshold. Raises ValueError with a sentence that says what would be right."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no threshold; write for example 'completed.p95 > 20s', 'missed > 0' or 'errors > 1%'"
        )
    figure, statistic, comparison, number, unit = (part or "" for part in match.groups())
    times, numbers, statistics = tuple(times), tuple(numbers), tuple(statistics)
    if figure in times:
        if statistic not in statistics:
            raise ValueError(
                f"{text!r}: say which time of {figure}: {', '.join(f'{figure}.{name}' for name in statistics)}"
            )
        units: tuple[str, ...] = ("ms", "s")
    elif figure in numbers:
        if statistic:
            raise ValueError(f"{text!r}: {figure} is one number, without .{statistic}")
        units = ("%",) if figure == "errors" else ("",)
    else:
        raise ValueError(f"{text!r}: there is no figure {figure}; there are {', '.join((*times, *numbers))}")
    if unit not in units:
        raise ValueError(f"{text!r}: {figure} needs {' or '.join(units) or 'no unit'}")
    return Threshold(
        text=" ".join(text.split()),
        figure=figure,
        statistic=statistic,
        comparison=comparison,
        limit=float(number) * _FACTORS[unit],
    )


def with_defaults(said: Iterable[str]) -> list[str]:
    """Return what was said, and the defaults for figures of which nothing was said."""
    said = list(said)
    named = {match[1] for text in said if (match := _FORM.fullmatch(text))}
    return [text for text in DEFAULTS if text.split()[0] not in named] + said
