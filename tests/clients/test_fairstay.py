"""FairStay's calls: what its back end sends today, and what it reads of the answers."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import pytest
from PIL import Image, ImageChops

from tests.clients.conftest import Register
from tests.clients.fairstay import FairStay, Form, WriteForm, form_by_hand, form_by_library
from tests.clients.replies import call, shape
from tests.drawings import Box, Crack, save_jpeg, wall

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE = (800, 600)
CRACKED = wall([Crack(x=80, y=90, width=260, height=200), Crack(x=480, y=320, width=240, height=180)], size=SIZE)
CLEAN = wall(size=SIZE, socket=True, window=True, grain=6)
HEALTHY = {"status": "healthy", "message": "AI server is running", "model_loaded": True}
NO_FILE = (400, "no_image_file", "No image file provided")
NO_IMAGE = (400, "invalid_image", "Invalid image file")


def are_there(drawn: Sequence[Box], seen: Sequence[Mapping[str, int]]) -> bool:
    """Say whether just the drawn boxes are seen, give or take a hundredth of the photo."""
    edges = sorted((box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]) for box in seen)
    nearness = max(SIZE) / 100
    return len(drawn) == len(seen) and all(
        abs(one - other) <= nearness
        for box, others in zip(sorted(drawn, key=lambda box: box.x), edges, strict=True)
        for one, other in zip(box.edges, others, strict=True)
    )


@pytest.mark.parametrize("name", ["file", "image"])
@pytest.mark.parametrize("write", [form_by_hand, form_by_library])
async def test_a_wall_with_cracks(url: str, name: str, write: WriteForm) -> None:
    """Both names of the field, and both ways to write a form; nothing is missing in the answer, and nothing is new."""
    reply = await FairStay(url=url).detect_crack(save_jpeg(CRACKED.image), name, write=write)
    said = reply.json
    file_id = said["file_id"]

    assert reply.status == 200, said
    assert {
        "file_id": "text",
        "image_url": "text",
        "result_url": "text",
        "has_crack": "boolean",
        "confidence": "number",
        "crack_count": "integer",
        "bounding_boxes": [dict.fromkeys(("x", "y", "width", "height"), "integer")],
    } == shape(said)
    assert (f"/result/{file_id}", f"{url}/result/{file_id}") == (said["image_url"], said["result_url"])
    assert (True, 2) == (said["has_crack"], said["crack_count"])
    assert 0.5 <= said["confidence"] <= 1
    assert are_there(CRACKED.boxes, said["bounding_boxes"])


async def test_a_clean_wall(url: str) -> None:
    """A socket and a window are no cracks; the photo is at its address all the same."""
    fairstay = FairStay(url=url)
    reply = await fairstay.detect_crack(save_jpeg(CLEAN.image))
    file_id = reply.json["file_id"]

    assert {
        "file_id": file_id,
        "image_url": f"/result/{file_id}",
        "result_url": f"{url}/result/{file_id}",
        "has_crack": False,
        "confidence": 0,
        "crack_count": 0,
        "bounding_boxes": [],
    } == reply.json
    assert 200 == (await fairstay.result(file_id)).status


@pytest.mark.parametrize("query", ["", "?threshold=0.999"])
async def test_a_threshold_may_be_said(url: str, query: str) -> None:
    """Above it there is nothing on the same wall."""
    reply = await FairStay(url=url).detect_crack(save_jpeg(CRACKED.image), query=query)

    assert (0 if query else 2) == reply.json["crack_count"]


async def test_the_result_is_the_photo_with_the_boxes_drawn(url: str) -> None:
    """A JPEG of the same size at both addresses, different from the photo around the cracks only."""
    photo = save_jpeg(CRACKED.image)
    said = (await FairStay(url=url).detect_crack(photo)).json
    result, same = await call("GET", url + said["image_url"]), await call("GET", said["result_url"])
    with Image.open(io.BytesIO(result.body)) as drawn, Image.open(io.BytesIO(photo)) as sent:
        assert ("JPEG", SIZE) == (drawn.format, drawn.size)
        changed = ImageChops.difference(drawn.convert("L"), sent.convert("L")).point(lambda step: 255 * (step > 60))
    marked = [changed.crop(box.grown(0.2, SIZE).edges).getbbox() for box in CRACKED.boxes]
    for box in CRACKED.boxes:
        changed.paste(0, box.grown(0.3, SIZE).edges)

    assert (200, "image/jpeg", result.body) == (same.status, same.headers["Content-Type"], same.body)
    assert None not in marked
    assert changed.getbbox() is None


@pytest.mark.parametrize("file_id", ["job_0198000000000000000000000000", "nonsense", "result.jpg", "%2e%2e%2fpasswd"])
async def test_a_result_that_is_none(url: str, file_id: str) -> None:
    """Whatever the id looks like."""
    reply = await FairStay(url=url).result(file_id)

    assert (404, "result_not_found", "Result image not found") == reply.error


@pytest.mark.parametrize(
    "form",
    [
        Form(body=b""),
        Form(body=b"", headers={"Content-Type": "application/octet-stream"}),
        Form(body=b"--b--\r\n", headers={"Content-Type": "multipart/form-data; boundary=b"}),
        form_by_hand(b"", "file"),
        form_by_hand(b"a photo", "photo"),
        form_by_hand(save_jpeg(CLEAN.image), "photo"),
    ],
)
async def test_a_form_without_a_photo(url: str, form: Form) -> None:
    """In the original's words: no body, no part, an empty one, or one of another name."""
    assert NO_FILE == (await FairStay(url=url).send(form)).error


@pytest.mark.parametrize("photo", [b"no photo", b"<svg/>", b"\xff\xd8\xff", save_jpeg(CLEAN.image)[:3000]])
async def test_a_file_that_is_no_image(url: str, photo: bytes) -> None:
    """In the original's words, also where only the worker finds out."""
    assert NO_IMAGE == (await FairStay(url=url).detect_crack(photo)).error


@pytest.mark.parametrize("write", [form_by_hand, form_by_library])
async def test_a_photo_that_is_too_large(url: str, write: WriteForm) -> None:
    """The answer comes, although the rest of the photo is not read."""
    reply = await FairStay(url=url).detect_crack(bytes(11 * 2**20), write=write)

    assert (413, "body_too_large", "The photo is larger than 10 MiB") == reply.error


@pytest.mark.parametrize("path", ["/health", "/"])
@pytest.mark.parametrize("accept", ["application/json, text/plain, */*", "application/json", "*/*", ""])
async def test_programs_are_told_that_the_server_is_up(url: str, path: str, accept: str) -> None:
    """At both addresses, in the original's words."""
    reply = await FairStay(url=url, headers={"Accept": accept}).health(path)

    assert (200, HEALTHY) == (reply.status, reply.json)


async def test_browsers_get_the_page(url: str) -> None:
    """At the address where programs get JSON."""
    reply = await FairStay(url=url, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}).health("/")

    assert (200, "text/html") == (reply.status, reply.headers["Content-Type"].partition(";")[0])


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Bearer ", "Basic YTpi"])
async def test_a_bad_token_is_never_taken_for_none(url: str, authorization: str) -> None:
    """Where a call without any would do."""
    fairstay = FairStay(url=url, headers={"Authorization": authorization})

    assert (401, "unauthorized") == (await fairstay.detect_crack(save_jpeg(CLEAN.image))).error[:2]


async def test_a_foreign_page_is_refused(url: str) -> None:
    """A browser would send the form, and the answer to whoever reads the page."""
    foreign = FairStay(url=url, headers={"Origin": "https://evil.example"})
    own = FairStay(url=url, headers={"Origin": url})
    photo = save_jpeg(CLEAN.image)

    assert (403, "forbidden") == (await foreign.detect_crack(photo)).error[:2]
    assert 200 == (await own.detect_crack(photo)).status


async def test_a_token_always_works(url: str, register: Register) -> None:
    """The answer is the same, and its photo needs none."""
    reply = await FairStay(url=url, headers={"Authorization": f"Bearer {await register()}"}).detect_crack(
        save_jpeg(CRACKED.image)
    )

    assert (200, 2) == (reply.status, reply.json["crack_count"])
    assert 200 == (await FairStay(url=url).result(reply.json["file_id"])).status


async def test_a_closed_service_wants_a_token(closed_url: str) -> None:
    """But for its health, and for results, whose ids are known to those who made them."""
    fairstay = FairStay(url=closed_url)

    assert (401, "unauthorized") == (await fairstay.detect_crack(save_jpeg(CLEAN.image))).error[:2]
    assert (200, HEALTHY) == ((await fairstay.health()).status, (await fairstay.health()).json)
    assert 404 == (await fairstay.result("nonsense")).status
