"""The pairs of crops that an operator lists for ``calibrate``, read and checked: each mistake names its row and field."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from consumers.boxes import Box, inside
from consumers.images import ImageWorker, prepare
from jobs.errors import InvalidImage
from jobs.files import MAX_UPLOAD_BYTES
from service.process import CannotStart

T = TypeVar("T")

_NEEDED: Final = ("first", "second", "same")
_COLUMNS: Final = (*_NEEDED, "first_box", "second_box")
_ANSWERS: Final = {"yes": True, "1": True, "true": True, "no": False, "0": False, "false": False}
_BOX: Final = re.compile(r"([0-9]{1,5}) +([0-9]{1,5}) +([0-9]{1,5}) +([0-9]{1,5})")
_MOST_TOLD: Final = 20


class BadPairs(CannotStart):
    """The pairs cannot be used; there is a line for each mistake."""


class Mistake(Exception):
    """One thing that is wrong with a row."""

    def __init__(self, row: int, field: str, problem: str) -> None:
        super().__init__(f"row {row}, {field}: {problem}" if field else f"row {row}: {problem}")
        self.row = row


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A picture as a row names it, and where the vehicle is in it, if that is said."""

    row: int
    field: str
    name: str
    path: Path
    box: Box | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two crops, and whether a person says that they show the same place."""

    row: int
    first: Crop
    second: Crop
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How alike a pair's backgrounds are, 0 to 1; ``by_hash`` when no model was asked."""

    pair: Pair
    similarity: float
    by_hash: bool


def read_pairs(file: Path) -> list[Pair]:
    """Read the list of pairs. Raises BadPairs, with a line for each row that has a mistake."""
    rows = _read_rows(file)
    columns = _read_header(next(rows, (1, [])))
    pairs, mistakes = [], []
    for row, cells in rows:
        try:
            pairs.append(_read_pair(row, columns, cells, file.parent))
        except Mistake as mistake:
            mistakes.append(mistake)
    refuse(mistakes)
    if not pairs:
        raise BadPairs(f"{file}: there are no pairs in it")
    return pairs


def _read_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty, with its number as a spreadsheet counts."""
    reader = csv.reader(io.StringIO(_read_text(file), newline=""), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise BadPairs(f"row {reader.line_num}: {error}") from error


def _read_text(file: Path) -> str:
    try:
        content = file.read_bytes() if file.is_file() else None
    except OSError as error:
        raise BadPairs(f"{file}: {error.strerror}") from error
    if content is None:
        raise BadPairs(f"{file}: there is no such file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = error.object.count(b"\n", 0, error.start) + 1
        raise BadPairs(f"row {row}: this is not UTF-8; in a spreadsheet, save as “CSV UTF-8”") from error


def _read_header(header: tuple[int, list[str]]) -> list[str]:
    row, columns = header[0], [name.lower() for name in header[1]]
    mistakes = [Mistake(row, name, "this column is missing") for name in _NEEDED if name not in columns]
    for number, name in enumerate(columns, 1):
        if name not in _COLUMNS:
            there_are = ", ".join(_COLUMNS)
            mistakes.append(Mistake(row, name or f"column {number}", f"no such column; there are {there_are}"))
        elif name in columns[: number - 1]:
            mistakes.append(Mistake(row, name, "this column is there twice"))
    refuse(mistakes)
    return columns


def _read_pair(row: int, columns: Sequence[str], cells: Sequence[str], folder: Path) -> Pair:
    if len(cells) > len(columns):
        raise Mistake(row, "", f"has {len(cells)} fields, and the header {len(columns)}")
    said = dict.fromkeys(_COLUMNS, "") | dict(zip(columns, cells, strict=False))
    first, second = (_read_crop(row, field, said, folder) for field in ("first", "second"))
    if first.path == second.path:
        raise Mistake(row, "second", "is the same file as first")
    same = _ANSWERS.get(said["same"].lower())
    if same is None:
        raise Mistake(row, "same", f"must be one of {', '.join(_ANSWERS)}")
    return Pair(row=row, first=first, second=second, same=same)


def _read_crop(row: int, field: str, said: Mapping[str, str], folder: Path) -> Crop:
    name, box = said[field], said[f"{field}_box"]
    if not name:
        raise Mistake(row, field, "is empty")
    numbers = _BOX.fullmatch(box)
    if box and not numbers:
        raise Mistake(row, f"{field}_box", "must be four whole numbers of pixels: x y width height")
    x, y, width, height = map(int, numbers.groups()) if numbers else (0, 0, 1, 1)
    if not width or not height:
        raise Mistake(row, f"{field}_box", "has no width or no height")
    where = Box(x=x, y=y, width=width, height=height) if numbers else None
    return Crop(row=row, field=field, name=name, path=folder / name, box=where)


def refuse(mistakes: Sequence[Mistake]) -> None:
    """Raise BadPairs with a line for each mistake, up to twenty."""
    lines = [str(mistake) for mistake in sorted(mistakes, key=lambda mistake: mistake.row)]
    more = [f"… and {len(lines) - _MOST_TOLD} more"] if len(lines) > _MOST_TOLD else []
    if lines:
        raise BadPairs("\n".join([*lines[:_MOST_TOLD], *more]))


def check_crop(crop: Crop) -> None:
    """Decode the whole picture, and see that something is left of it beside the vehicle."""
    photo = prepare(read_crop(crop))
    if crop.box is None:
        return
    frame, field = Box(x=0, y=0, width=photo.photo_width, height=photo.photo_height), f"{crop.field}_box"
    if inside(crop.box, frame) != crop.box:
        raise Mistake(crop.row, field, f"sticks out of the picture of {frame.width} × {frame.height} pixels")
    if crop.box == frame:
        raise Mistake(crop.row, field, "covers the whole picture")


def read_crop(crop: Crop) -> bytes:
    """Read the file. Raises Mistake."""
    try:
        if not crop.path.is_file():
            raise Mistake(crop.row, crop.field, f"there is no file {crop.name}")
        with crop.path.open("rb") as file:
            content = file.read(MAX_UPLOAD_BYTES + 1)
    except OSError as error:
        raise Mistake(crop.row, crop.field, f"{crop.name}: {error.strerror}") from error
    if len(content) > MAX_UPLOAD_BYTES:
        raise Mistake(crop.row, crop.field, f"{crop.name} is larger than {MAX_UPLOAD_BYTES >> 20} MiB")
    return content


async def in_thread(images: ImageWorker, crop: Crop, work: Callable[[], T]) -> T:
    """Do work on a crop in a thread. Raises Mistake for what is no photo."""
    try:
        return await images.run(work)
    except InvalidImage as error:
        raise Mistake(crop.row, crop.field, f"{crop.name} is no photo: {error.message}") from error
