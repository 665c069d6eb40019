"""The summary of a run: figures, thresholds, and where they were measured."""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import os
import platform
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from kit.ledger import COUNTS, RATES, STATISTICS, TIMES, Ledger
from kit.thresholds import Threshold, parse

PACKAGES: Final = ("locust", "gevent", "geventhttpclient", "websocket-client")
TOLD_OPTIONS: Final = ("arrivals_per_second", "sockets", "storm_sockets", "storm_every", "patience", "people")


@dataclass(slots=True)
class Clock:
    """When jobs began and ceased to arrive, in seconds since the epoch."""

    began: float = 0.0
    ended: float = 0.0

    @property
    def has_begun(self) -> bool:
        """Tell whether there was a run at all."""
        return self.began > 0

    @property
    def seconds(self) -> float:
        """Return how long jobs arrived."""
        return max(0.0, self.ended - self.began)

    def begin(self, now: float) -> None:
        """Note that jobs arrive from now on."""
        self.began, self.ended = now, 0.0

    def end(self, now: float) -> None:
        """Note that no more jobs arrive."""
        self.ended = self.ended or now


clock = Clock()


def read_threshold(text: str) -> Threshold:
    """Read a threshold on the figures of a run. Raises ValueError with a sentence."""
    return parse(text, times=TIMES, numbers=(*COUNTS, *RATES), statistics=STATISTICS)


def checked_threshold(text: str) -> str:
    """Return the text of a threshold that can be read, for a command line."""
    try:
        return read_threshold(text).text
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def environment(options: argparse.Namespace, *, host: str, workers: int) -> dict[str, Any]:
    """Return what must be known to compare this run with another."""
    return {
        "url": host,
        "serviceOnTheSameMachine": options.same_machine,
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs, "
        f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "processor": _processor(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "openFileLimit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "workers": workers,
        "photoBytes": Path(options.photo).stat().st_size,
        "options": {name: getattr(options, name) for name in TOLD_OPTIONS},
        "began": _iso(clock.began),
        "seconds": round(clock.seconds, 1),
    }


def summarise(ledger: Ledger, judged: Sequence[Threshold], where: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole summary; ``exceeded`` are the texts of the thresholds that make the run a failure."""
    figures = ledger.figures(clock.seconds)
    verdicts = [
        {
            "threshold": threshold.text,
            "measured": threshold.shown_value(figures),
            "exceeded": threshold.is_exceeded(figures),
        }
        for threshold in judged
    ]
    return {
        "environment": where,
        "figures": figures,
        "failedByCode": dict(ledger.errors.most_common()),
        "thresholds": verdicts,
        "exceeded": [verdict["threshold"] for verdict in verdicts if verdict["exceeded"]],
    }


def as_text(summary: Mapping[str, Any]) -> str:
    """Return the summary for a terminal."""
    where, figures = summary["environment"], summary["figures"]
    times = [(name, figures[name]) for name in TIMES if figures[name]]
    counts = "   ".join(f"{name.replace('_', ' ')} {figures[name]}" for name in COUNTS)
    beside = (
        "the service runs on this machine too" if where["serviceOnTheSameMachine"] else "the service runs elsewhere"
    )
    lines = [
        "",
        f"Darkroom at {where['url']}, {where['seconds']} s of arrivals",
        f"From {where['machine']}; {beside}",
        "",
        f"{'seconds':<20}{'count':>8}" + "".join(f"{name:>10}" for name in STATISTICS),
        *(
            f"{name.replace('_', ' '):<20}{time['count']:>8}" + "".join(f"{time[part]:>10.3f}" for part in STATISTICS)
            for name, time in times
        ),
        "",
        counts,
        f"jobs per second {figures['jobs_per_second']:.2f}   errors {figures['errors']:.2%}",
        *(f"  failed: {code} {number}" for code, number in summary["failedByCode"].items()),
        "",
        *(
            f"{'EXCEEDED' if verdict['exceeded'] else 'ok':<10}{verdict['threshold']:<28}{verdict['measured']}"
            for verdict in summary["thresholds"]
        ),
    ]
    return "\n".join(lines)


def write(summary: Mapping[str, Any], folder: Path) -> None:
    """Write summary.json, and summary.csv with a line for each figure."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    (folder / "summary.json").write_text(text, encoding="utf-8")
    with (folder / "summary.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["figure", "statistic", "value"])
        for name, value in summary["figures"].items():
            parts = value.items() if isinstance(value, dict) else [("", value)]
            writer.writerows([name, part, number] for part, number in parts if number is not None)


def _processor() -> str:
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text(encoding="utf-8").splitlines() if cpu_info.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
