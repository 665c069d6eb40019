"""Tables in Markdown, and the documents that show them between marks: `<!-- table: name -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
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
