"""What programs print: tables in Markdown, and the documents that show them: `<!-- table: name -->` … `<!-- end -->`."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

DOCUMENTS: Final = Path(__file__).parents[1] / "docs"
_MARKED: Final = re.compile(r"<!-- table: ([a-z ]+) -->\n(.*?)<!-- end -->", re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table; all columns but the first stand at the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def shown(document: str) -> dict[str, str]:
    """Return the tables that a document of docs/ shows, by their names."""
    text = (DOCUMENTS / document).read_text(encoding="utf-8")
    return {name: content.rstrip("\n") for name, content in _MARKED.findall(text)}


def put(document: str, tables: Mapping[str, str]) -> None:
    """Put the tables into a document, each where its mark is. Raises KeyError for a mark without a table."""
    path = DOCUMENTS / document
    text = path.read_text(encoding="utf-8")
    path.write_text(
        _MARKED.sub(lambda mark: f"<!-- table: {mark[1]} -->\n{tables[mark[1]]}\n<!-- end -->", text), encoding="utf-8"
    )


def command(program: str, description: str, document: str, make: Callable[[], Mapping[str, str]]) -> None:
    """Print the tables, or put them into their document, as the command line wishes."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{document}")
    is_written = parser.parse_args().write
    made = make()
    if is_written:
        put(document, made)
    else:
        print("\n\n".join(f"{name}\n\n{content}" for name, content in made.items()))


def conclude(
    rows: Iterable[tuple[str, str]], zeros: Mapping[str, int], explanations: Iterable[str], folder: Path
) -> int:
    """Print what a run came to, and remove its folder; returns 1, and keeps it, when something happened that must not."""
    print("\n| what | figure |\n|---|---|")
    for name, figure in rows:
        print(f"| {name} | {figure} |")
    if not any(zeros.values()):
        shutil.rmtree(folder)
        return 0
    print("\n".join(["", *explanations, f"The logs are in {folder}"]))
    return 1
