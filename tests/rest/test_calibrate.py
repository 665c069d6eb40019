"""``python -m service calibrate``, really run on drawn streets, with the simulator for Gemini."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import ExifTags, Image

from service.calibrate import GeminiSettings
from service.calibration_pairs import BadPairs, Compared, Crop, Pair, read_pairs
from service.calibration_report import SIMULATED, Report, as_text, make_report
from tests.conftest import CHECKOUT
from tests.drawings import Car, save_jpeg, street
from tests.simulator.process import read_stats, reset_stats, running

CAR = Car(x=300, y=380, width=260)
TRUCK = Car(x=340, y=330, width=240, kind="truck", colour=(30, 60, 40))
SIZE = (900, 700)
CUT = (80, 60)
"""So much further right and down the camera stands for a truck, or the hash alone would know the place."""
HEADER = "first,second,same,first_box,second_box"
DOCUMENT = (CHECKOUT / "docs" / "calibration.md").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How the command ended, and what it wrote."""

    code: int
    told: str
    log: str


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    """Run a simulator that answers without delay."""
    with running("--latency", "0") as address:
        yield address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Draw two places, each with two vehicles, a copy of one crop, and a crop that is named in Korean."""
    for place in (0, 3):
        (tmp_path / f"{place}-car.jpg").write_bytes(save_jpeg(street(place, [CAR], size=SIZE).image))
        truck = street(place, [TRUCK], size=SIZE).image.crop((*CUT, *SIZE))
        (tmp_path / f"{place}-truck.jpg").write_bytes(save_jpeg(truck))
    (tmp_path / "copy.jpg").write_bytes(save_jpeg(street(0, [CAR], size=SIZE).image, quality=70))
    (tmp_path / "골목.jpg").write_bytes(save_jpeg(street(3, [CAR], size=SIZE).image, quality=60))
    return tmp_path


def said_of(vehicle: Car) -> str:
    """Write a vehicle's box down as the CSV has it."""
    left, top = CUT if vehicle is TRUCK else (0, 0)
    return f"{vehicle.box.x - left} {vehicle.box.y - top} {vehicle.box.width} {vehicle.box.height}"


def listed(folder: Path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    """Write the CSV."""
    file = folder / "pairs.csv"
    file.write_text("\n".join([header, *rows, ""]), encoding=encoding)
    return file


async def calibrate(*arguments: str | Path, **environment: str) -> Said:
    """Run the command with nothing in its environment but what is given."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "calibrate", *map(str, arguments)),
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], "GEMINI_API_KEY": "any", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(50):
        told, log = await process.communicate()
    return Said(code=process.returncode or 0, told=told.decode(), log=log.decode())


def standard(folder: Path) -> Path:
    """List two pairs of one place and two of different ones."""
    car, truck = said_of(CAR), said_of(TRUCK)
    return listed(
        folder,
        f"0-car.jpg,0-truck.jpg,yes,{car},{truck}",
        f"3-car.jpg,3-truck.jpg,TRUE,{car},{truck}",
        f"0-car.jpg,3-truck.jpg,no,{car},{truck}",
        f"0-truck.jpg,3-car.jpg,0,{truck},{car}",
    )


async def test_drawn_places_are_told_apart(simulator: str, folder: Path) -> None:
    """Four calls for four pairs, with the vehicle covered; the report says that it is simulated."""
    await reset_stats(simulator)
    said = await calibrate(standard(folder), "--json", GEMINI_BASE_URL=simulator)
    report = json.loads(said.told)

    assert 0 == said.code, said.log
    assert (2, 0, 2, 0) == (
        report["same"]["count"],
        report["same"]["byHash"],
        report["different"]["count"],
        report["different"]["byHash"],
    )
    assert report["same"]["min"] > 0.9
    assert report["different"]["max"] < 0.5
    assert (True, SIMULATED) == (report["simulated"], report["warnings"][0])
    assert [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95] == [row["threshold"] for row in report["thresholds"]]
    assert {"threshold": 0.8, "sameAccepted": 1, "differentAccepted": 0, "balancedAccuracy": 1} in report["thresholds"]
    assert (0, []) == (report["wrongSideCount"], report["wrongSide"])
    assert 4 == (await read_stats(simulator))["calls"]


async def test_the_text_says_the_same(simulator: str, folder: Path) -> None:
    """Results on stdout, progress on stderr; the words are those of the document."""
    said = await calibrate(standard(folder), "--threshold", "0.9999", GEMINI_BASE_URL=simulator)

    assert 0 == said.code, said.log
    assert said.told.startswith(f"{SIMULATED}\nwarning: only 2 same pairs: with fewer than 30 of a kind")
    assert re.search(r"^same +2( +0\.9\d{3}){5} +0$", said.told, re.MULTILINE)
    assert re.search(r"^0\.95 - 1\.00 +2 #{24} +0$", said.told, re.MULTILINE)
    assert re.search(r"^0\.9999 +0\.0% +0\.0% +50\.0%  given$", said.told, re.MULTILINE)
    assert "On the wrong side of 0.9999: 2 of 4\n" in said.told
    assert re.search(r"^row 2 +0\.9\d{3}  said to be same: 0-car\.jpg, 0-truck\.jpg$", said.told, re.MULTILINE)
    assert "4 of 4 crops checked\n4 of 4 pairs compared\n" == said.log


async def test_near_duplicates_are_decided_without_a_call(simulator: str, folder: Path) -> None:
    """Boxes are optional, a BOM is nothing, columns have any order, and names may be Korean."""
    rows = ("yes,0-car.jpg,copy.jpg", "", "no,3-car.jpg,골목.jpg")
    file = listed(folder, *rows, header="same,First,second", encoding="utf-8-sig")
    await reset_stats(simulator)
    said = await calibrate(file, "--json", GEMINI_BASE_URL=simulator)
    report = json.loads(said.told)

    assert 0 == said.code, said.log
    assert (1, 1) == (report["same"]["byHash"], report["different"]["byHash"])
    assert [(4, "골목.jpg", True)] == [(row["row"], row["second"], row["byHash"]) for row in report["wrongSide"]]
    assert 0 == (await read_stats(simulator))["calls"]


async def test_a_bad_file_or_box_is_one_line(simulator: str, folder: Path) -> None:
    """It names row and field, on stderr, all of them at once; Gemini is not called."""
    (folder / "text.jpg").write_text("this is no picture")
    (folder / "cut.jpg").write_bytes((folder / "0-car.jpg").read_bytes()[:5000])
    (folder / "large.jpg").write_bytes(bytes(10 * 1024 * 1024 + 1))
    os.mkfifo(folder / "pipe.jpg")
    problems = {
        "gone.jpg,0-car.jpg,yes,,": "row 2, first: there is no file gone.jpg",
        "0-car.jpg,.,yes,,": "row 3, second: there is no file .",
        "0-car.jpg,pipe.jpg,yes,,": "row 4, second: there is no file pipe.jpg",
        "0-car.jpg,text.jpg,yes,,": "row 5, second: text.jpg is no photo: ",
        "0-car.jpg,cut.jpg,yes,,": "row 6, second: cut.jpg is no photo: ",
        "0-car.jpg,large.jpg,yes,,": "row 7, second: large.jpg is larger than 10 MiB",
        "0-car.jpg,3-car.jpg,no,,800 10 200 10": "row 8, second_box: sticks out of the picture of 900 × 700 pixels",
        "0-car.jpg,3-car.jpg,no,0 0 900 700,": "row 9, first_box: covers the whole picture",
    }
    await reset_stats(simulator)
    said = await calibrate(listed(folder, *problems), GEMINI_BASE_URL=simulator)
    lines = [line for line in said.log.splitlines() if line.startswith("row ")]

    assert (2, "", len(problems)) == (said.code, said.told, len(lines)), said
    for line, problem in zip(lines, problems.values(), strict=True):
        assert line.startswith(problem)
    assert 0 == (await read_stats(simulator))["calls"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a.jpg,./a.jpg,yes,,", "row 2, second: is the same file as first"),
        (",a.jpg,yes,,", "row 2, first: is empty"),
        ("a.jpg", "row 2, second: is empty"),
        ("a.jpg,b.jpg,maybe,,", "row 2, same: must be one of yes, 1, true, no, 0, false"),
        ("a.jpg,b.jpg,no,1 2 3,", "row 2, first_box: must be four whole numbers of pixels: x y width height"),
        ("a.jpg,b.jpg,no,,1 2 -3 4", "row 2, second_box: must be four whole numbers of pixels: x y width height"),
        ("a.jpg,b.jpg,no,1 2 0 4,", "row 2, first_box: has no width or no height"),
        ("a.jpg,b.jpg,no,,,", "row 2: has 6 fields, and the header 5"),
        ('a.jpg,"b.jpg,no', "row 2: unexpected end of data"),
    ],
)
def test_a_bad_row_is_one_line(tmp_path: Path, row: str, problem: str) -> None:
    """It names row and field, before any file is looked for."""
    with pytest.raises(BadPairs) as refused:
        read_pairs(listed(tmp_path, row))

    assert problem == str(refused.value)


@pytest.mark.parametrize(
    ("header", "problems"),
    [
        ("", [f"row 1, {name}: this column is missing" for name in ("first", "second", "same")]),
        ("first,second", ["row 1, same: this column is missing"]),
        (
            "first,second,same,firstbox",
            ["row 1, firstbox: no such column; there are first, second, same, first_box, second_box"],
        ),
        ("first,second,same,same", ["row 1, same: this column is there twice"]),
        ("first,second,same", ["{file}: there are no pairs in it"]),
    ],
)
def test_a_bad_header_is_one_line_for_each_column(tmp_path: Path, header: str, problems: list[str]) -> None:
    """A misspelt column would go unnoticed otherwise."""
    file = listed(tmp_path, header=header)
    with pytest.raises(BadPairs) as refused:
        read_pairs(file)

    assert [problem.format(file=file) for problem in problems] == str(refused.value).splitlines()


def test_another_encoding_is_named_with_its_row(tmp_path: Path) -> None:
    """A Korean spreadsheet's usual CSV is not UTF-8."""
    file = listed(tmp_path, "a.jpg,b.jpg,yes,,", "골목.jpg,b.jpg,yes,,", encoding="cp949")
    with pytest.raises(BadPairs, match="row 3: this is not UTF-8"):
        read_pairs(file)


def test_all_bad_rows_are_told_at_once_up_to_twenty(tmp_path: Path) -> None:
    """Whoever corrects a list wants to do it once."""
    file = listed(tmp_path, *("a.jpg,b.jpg,maybe,," for _ in range(25)))
    with pytest.raises(BadPairs) as refused:
        read_pairs(file)
    lines = str(refused.value).splitlines()

    assert (21, "… and 5 more") == (len(lines), lines[-1])


async def test_settings_that_do_not_work_end_it_with_2(folder: Path) -> None:
    """One line each, as for the service itself; so does a list that is not there."""
    no_key = await calibrate(standard(folder), GEMINI_API_KEY="")
    no_url = await calibrate(standard(folder), GEMINI_BASE_URL="gemini")
    no_list = await calibrate(folder / "none.csv")
    no_threshold = await calibrate(standard(folder), "--threshold", "80")

    assert [2, 2, 2, 2] == [said.code for said in (no_key, no_url, no_list, no_threshold)]
    assert "GEMINI_API_KEY is missing" == no_key.log.splitlines()[-1]
    assert "GEMINI_BASE_URL: must be an http or https address" == no_url.log.splitlines()[-1]
    assert f"{folder / 'none.csv'}: there is no such file\n" == no_list.log
    assert "must be a number from 0 to 1" in no_threshold.log


async def test_a_refused_key_ends_it_with_1(simulator: str, folder: Path) -> None:
    """At once; the simulator knows one bad key."""
    said = await calibrate(standard(folder), GEMINI_BASE_URL=simulator, GEMINI_API_KEY="bad")

    assert (1, "") == (said.code, said.told)
    assert re.match(
        r"Stopped: row \d: The image service is not set up correctly\. .*GEMINI_API_KEY", said.log.splitlines()[-1]
    )


async def test_nobody_there_ends_it_with_1(folder: Path) -> None:
    """After a few tries."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        said = await calibrate(standard(folder), GEMINI_BASE_URL=f"http://127.0.0.1:{closed.getsockname()[1]}")

    assert (1, "") == (said.code, said.told)
    assert re.match(r"Stopped: row \d: The image service failed\.", said.log.splitlines()[-1])


async def test_a_signal_ends_it_with_1(folder: Path) -> None:
    """While a call hangs."""
    with running("--latency", "30") as address:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "calibrate", str(standard(folder))),
            cwd=CHECKOUT,
            env={"PATH": os.environ["PATH"], "GEMINI_API_KEY": "any", "GEMINI_BASE_URL": address},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr
        async with asyncio.timeout(30):
            await process.stderr.readuntil(b"crops checked\n")
            process.terminate()
            told, log = await process.communicate()

    assert (1, b"", b"Stopped by a signal.\n") == (process.returncode, told, log)


async def test_an_uncovered_crop_goes_out_without_its_exif(folder: Path) -> None:
    """It may say where it was taken; whatever a crop lies like, boxes count pixels of the upright one."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Secret Cameras"
    upright = street(0, [TRUCK], size=SIZE).image.crop((*CUT, *SIZE))
    (folder / "turned.jpg").write_bytes(save_jpeg(upright.rotate(90, expand=True), exif=exif))
    rows = (f"0-car.jpg,turned.jpg,yes,{said_of(CAR)},{said_of(TRUCK)}", "0-car.jpg,turned.jpg,yes,,")
    async with listening() as (address, heard):
        said = await calibrate(listed(folder, *rows), "--json", GEMINI_BASE_URL=address)
    report: dict[str, Any] = json.loads(said.told)

    assert (0, 0, [2, 2]) == (said.code, report["wrongSideCount"], [len(pictures) for pictures in heard]), said
    for picture in chain.from_iterable(heard):
        with Image.open(io.BytesIO(picture)) as image:
            assert image.width > image.height
            assert {} == dict(image.getexif())


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[list[bytes]]]]:
    """Serve one answer to all, and keep the pictures of each call."""
    heard: list[list[bytes]] = []

    async def embed(request: web.Request) -> web.Response:
        contents = [wish["content"] for wish in (await request.json())["requests"]]
        heard.append([base64.urlsafe_b64decode(content["parts"][0]["inline_data"]["data"]) for content in contents])
        return web.json_response({"embeddings": [{"values": [1.0]} for _ in contents]})

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1beta/models/{call}", embed)
    async with TestServer(app) as server:
        yield str(server.make_url("/")), heard


def compared(*similarities: float, same: bool) -> list[Compared]:
    """Make pairs that came out like this."""
    crop = Crop(row=2, field="first", name="a.jpg", path=Path("a.jpg"), box=None)
    pair = Pair(row=2, first=crop, second=crop, same=same)
    return [Compared(pair=pair, similarity=similarity, by_hash=False) for similarity in similarities]


def reported(pairs: list[Compared], threshold: float = 0.8, url: str | None = None) -> Report:
    """Make the report of what that server would have answered."""
    settings = GeminiSettings.model_validate({"gemini_api_key": "any", "gemini_base_url": url})
    return make_report(pairs, threshold, model="a-model", is_simulated=settings.is_simulated)


def test_the_spread_lies_between_neighbours() -> None:
    """As NumPy's usual quantile does."""
    spread = reported(compared(0.1, 0.2, 0.3, 0.4, 0.6, same=True)).same

    assert (0.1, 0.12, 0.3, 0.56, 0.6) == (spread.min, spread.p5, spread.median, spread.p95, spread.max)


def test_edges_belong_to_the_upper_bar_and_one_to_the_last() -> None:
    """Each similarity is counted once."""
    histogram = reported(compared(0, 0.05, 0.15, 0.1499, 0.95, 1, same=False)).histogram

    assert [1, 1, 1, 1, *[0] * 15, 2] == [bar.different for bar in histogram]
    assert (0.0, 0.05, 0.95, 1.0) == (histogram[0].start, histogram[0].end, histogram[-1].start, histogram[-1].end)


def test_the_threshold_itself_is_accepted_and_the_best_is_in_the_middle() -> None:
    """0.60 to 0.80 are all perfect here."""
    pairs = compared(0.8, 0.97, same=True) + compared(0.55, 0.1, same=False)
    report = reported(pairs, 0.82)
    shares = {choice.threshold: (choice.same_accepted, choice.different_accepted) for choice in report.thresholds}

    assert ((1.0, 0.5), (1.0, 0.0), (0.5, 0.0)) == (shares[0.55], shares[0.8], shares[0.82])
    assert report.best is not None
    assert (0.7, 1.0) == (report.best.threshold, report.best.balanced_accuracy)
    assert [(True, 0.8)] == [(pair.same, pair.similarity) for pair in report.wrong_side]


def test_one_kind_alone_has_no_best_threshold() -> None:
    """What is not there is a dash, and the warning says so."""
    report = reported(compared(*[0.9] * 40, same=True))
    text = as_text(report)

    assert (None, None, None) == (report.best, report.different.median, report.thresholds[0].different_accepted)
    assert "warning: only 0 different pairs" in text
    assert "only 40 same" not in text
    assert "Best" not in text


def test_the_worst_twenty_pairs_are_listed() -> None:
    """The farthest from the threshold first, and how many there are."""
    report = reported(compared(*(number / 100 for number in range(30)), same=True))

    assert (30, 20, 0.0) == (report.wrong_side_count, len(report.wrong_side), report.wrong_side[0].similarity)
    assert "On the wrong side of 0.80: 30 of 30, the worst 20\n" in as_text(report)


@pytest.mark.parametrize(
    ("url", "simulated"),
    [
        (None, False),
        ("https://gemini.example.com", False),
        ("http://10.0.0.1:8099", False),
        ("http://localhost:8099", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:8099/", True),
    ],
)
def test_only_who_answers_on_this_machine_is_simulated(url: str | None, simulated: bool) -> None:
    """Nobody shall take a simulator's numbers for real ones."""
    report = reported(compared(0.9, same=True), url=url)

    assert simulated == report.simulated == (SIMULATED in as_text(report))


@pytest.mark.timeout(120)
async def test_the_example_works_as_pasted(tmp_path: Path) -> None:
    """The document's last script, with nothing but the port changed, prints what stands below it."""
    script, printed = re.findall(r"```(?:bash|text)\n(.*?)```", DOCUMENT, re.DOTALL)[-2:]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euc", script.replace("8099", port)),
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(100):
        output, _ = await process.communicate()
    told = output.decode()

    assert 0 == process.returncode, told
    for part in printed.split("…\n"):
        assert part in told
