"""Forms with a photo: what is refused of them, and how much room they may take while they arrive."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from jobs.files import MAX_UPLOAD_BYTES
from jobs.ids import UserId
from service import keys
from service.bodies import FORM_SECONDS, PAUSE_SECONDS, Seats
from service.errors import TooBusy
from tests.rest.api import Answer, Api, a_form, a_photo

pytestmark = pytest.mark.asyncio(loop_scope="session")

NO_WAIT = {"Prefer": "wait=0"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
NO_FILE, NO_IMAGE = (400, "no_image_file"), (400, "invalid_image")
THREADS = 2
"""That look at pictures."""


async def detect(api: Api) -> Answer:
    """Send a photo."""
    return await api.call("POST", "/detect-crack", data=a_form(), headers=NO_WAIT)


def parts(*bodies: bytes) -> bytes:
    """Write a form by hand."""
    return b"".join(b"--b\r\n" + body + b"\r\n" for body in bodies) + b"--b--\r\n"


def part(name: str, content: bytes) -> bytes:
    """Write a part by hand."""
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content


async def refused(api: Api, body: Any, content_type: str | None = "multipart/form-data; boundary=b") -> Answer:
    """Send a body, which must leave nothing behind."""
    headers = NO_WAIT | ({"Content-Type": content_type} if content_type else {})
    answer = await api.call("POST", "/detect-crack", data=body, headers=headers)
    assert await api.has_left_nothing()
    return answer


@pytest.mark.parametrize(
    "body",
    [parts(), parts(part("threshold", b"0.5")), parts(part("photo", b"small")), parts(part("file", b"")), b"--b--\r\n"],
)
async def test_a_form_without_a_photo_is_told_so(api: Api, body: bytes) -> None:
    """In the original's words."""
    answer = await refused(api, body)

    assert (*NO_FILE, "No image file provided") == (*answer.error, answer.body["error"])


async def test_no_body_at_all_is_no_photo(api: Api) -> None:
    """Whatever its type is said to be."""
    assert NO_FILE == (await refused(api, None, None)).error


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("application/json", b""),
        ("application/x-www-form-urlencoded", b"threshold=0.5"),
        ("text/plain", b"hello"),
        ("image/jpeg", a_photo()),
        ("multipart/mixed; boundary=b", parts(part("file", a_photo()))),
    ],
)
async def test_what_is_no_form_has_no_photo(api: Api, content_type: str, body: bytes) -> None:
    """As the original says: its clients know no other answer."""
    answer = await refused(api, body, content_type)

    assert (*NO_FILE, "No image file provided") == (*answer.error, answer.body["error"])


@pytest.mark.parametrize(
    "content",
    [b"not a photo", b"\xff\xd8\xff\xe0", b"GIF89a" + bytes(100), a_photo("GIF"), a_photo("BMP"), a_photo(side=31)],
)
async def test_what_is_no_image_is_told_so(api: Api, content: bytes) -> None:
    """By its bytes, in the original's words; nothing is stored or charged."""
    answer = await refused(api, parts(part("image", content)))

    assert (*NO_IMAGE, "Invalid image file") == (*answer.error, answer.body["error"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"--b\r\n",
        b"--b\r\nContent-Disposition: form-data",
        b"--b\r\n" + part("file", a_photo()),
        parts(part("file", a_photo()))[:-8],
        b"--b\r\n" + b"X: y\r\n" * 200 + b"\r\n\r\n--b--\r\n",
        b"--b\r\n" + b"X: " + b"y" * 10_000 + b"\r\n\r\n\r\n--b--\r\n",
        b"--b\r\nno header\r\n\r\n\r\n--b--\r\n",
    ],
)
async def test_a_form_that_is_broken_is_refused(api: Api, body: bytes) -> None:
    """Whatever is wrong with it."""
    assert (await refused(api, body)).error in ((400, "invalid_request"), NO_FILE)


@pytest.mark.parametrize("content_type", ["multipart/form-data", f"multipart/form-data; boundary={'b' * 71}"])
async def test_a_form_needs_its_boundary(api: Api, content_type: str) -> None:
    """Without it nobody can read it."""
    assert (400, "invalid_request") == (await refused(api, parts(part("file", a_photo())), content_type)).error


async def test_a_form_in_a_form_is_refused(api: Api) -> None:
    """Nobody sends one, but for a purpose."""
    inner = b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--"

    assert (400, "invalid_request") == (await refused(api, parts(inner))).error


async def test_one_photo_at_a_time(api: Api) -> None:
    """The second one is not even read."""
    answer = await refused(api, parts(part("file", a_photo()), part("image", a_photo())))

    assert (400, "invalid_request", "image") == (*answer.error, answer.body["field"])


async def test_a_form_has_few_parts(api: Api) -> None:
    """Eight are enough for everybody."""
    few = [part(f"field{number}", b"x") for number in range(7)]
    photo = part("file", a_photo())

    assert (400, "invalid_request") == (await refused(api, parts(*few, part("one-more", b"x"), photo))).error
    assert 202 == (await api.call("POST", "/detect-crack", data=parts(*few, photo), headers=NO_WAIT | FORM)).status


async def test_fields_are_short(api: Api) -> None:
    """They are for numbers and names."""
    answer = await refused(api, parts(part("threshold", b"0" * 1025), part("file", a_photo())))

    assert (413, "body_too_large") == answer.error


async def in_chunks(body: bytes) -> Any:
    """Send without telling the length."""
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


@pytest.mark.parametrize("send", [io.BytesIO, in_chunks], ids=["told", "untold"])
async def test_ten_mebibytes_are_the_most(api: Api, send: Callable[[bytes], Any]) -> None:
    """With the length told or not; exactly so much is taken."""
    photo = a_photo()
    most = photo + bytes(MAX_UPLOAD_BYTES - len(photo))
    taken = await api.call("POST", "/detect-crack", data=send(parts(part("file", most))), headers=NO_WAIT | FORM)
    over = await api.call("POST", "/detect-crack", data=send(parts(part("file", most + b"x"))), headers=NO_WAIT | FORM)

    assert (202, (413, "body_too_large")) == (taken.status, over.error)
    assert "The photo is larger than 10 MiB" == over.body["error"]
    assert 1 == len(await api.stored_jobs())


@pytest.mark.parametrize(
    "body",
    [
        bytes(11 * 1024 * 1024),
        b"line\r\n" * (2 * 1024 * 1024),
        parts(*[part("x", bytes(1000))] * 7, part("file", bytes(MAX_UPLOAD_BYTES)), bytes(1024 * 1024)),
    ],
    ids=["one line", "a preamble", "an epilogue"],
)
async def test_a_body_that_goes_on_and_on_is_cut_off(api: Api, body: bytes) -> None:
    """Also in what nobody looks at."""
    answer = await api.call("POST", "/detect-crack", data=in_chunks(body), headers=NO_WAIT | FORM)

    assert answer.error in ((413, "body_too_large"), (400, "invalid_request"))
    assert await api.has_left_nothing()


async def test_a_form_that_does_not_arrive_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its seat is another's then."""
    monkeypatch.setattr("service.bodies.FORM_SECONDS", 0.1)
    arrived = asyncio.Event()

    async def never() -> Any:
        yield b"--b\r\n" + part("file", b"\xff")
        await arrived.wait()

    answer = await api.call("POST", "/detect-crack", data=never(), headers=FORM)
    arrived.set()

    assert (400, "invalid_request") == answer.error
    assert FORM_SECONDS >= 30


async def test_a_form_that_pauses_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before its time is over, wherever it pauses."""
    monkeypatch.setattr("service.bodies.PAUSE_SECONDS", 0.1)
    arrived = asyncio.Event()

    async def sent(beginning: bytes) -> Any:
        yield beginning
        await arrived.wait()

    beginnings = [b"--b", b"--b\r\nContent-Disp", b"--b\r\n" + part("x", b"1"), b"--b\r\n" + part("file", a_photo())]
    async with asyncio.timeout(FORM_SECONDS / 2):
        answers = [await api.call("POST", "/detect-crack", data=sent(begun), headers=FORM) for begun in beginnings]
    arrived.set()

    assert [(400, "invalid_request")] * 4 == [answer.error for answer in answers]
    assert 5 == PAUSE_SECONDS
    assert await api.has_left_nothing()


async def test_a_form_that_comes_slowly_is_taken(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as something comes."""
    monkeypatch.setattr("service.bodies.PAUSE_SECONDS", 0.5)
    body = parts(part("file", a_photo()))

    async def slowly() -> Any:
        for start in range(0, len(body), len(body) // 8):
            yield body[start : start + len(body) // 8]
            await asyncio.sleep(0.1)

    assert 202 == (await api.call("POST", "/detect-crack", data=slowly(), headers=NO_WAIT | FORM)).status


async def test_photos_are_looked_at_beside_the_event_loop(api: Api) -> None:
    """By the threads of the pool: while these are busy, a photo waits, and all else goes on."""
    busy = threading.Event()
    working = [asyncio.create_task(api.services.images.run(lambda: busy.wait(20))) for _ in range(THREADS)]
    await asyncio.sleep(0)  # begun
    asking = asyncio.create_task(detect(api))
    while not seats_of(api)._held:
        assert 200 == (await api.get("/healthz")).status
    waited = not asking.done()
    busy.set()
    answer = await asking
    await asyncio.gather(*working)

    assert waited
    assert 202 == answer.status


# ---- Room for photos ----


def seats_of(api: Api) -> Seats:
    """Find the seats of a service."""
    app = api.http.app
    assert app is not None
    return app[keys.SEATS]


@asynccontextmanager
async def begun(api: Api, beginning: bytes) -> AsyncIterator[None]:
    """Begin to send a form, over a connection of its own, and say no more."""
    url = api.http.make_url("/detect-crack")
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"POST {url.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.issuer.id_token(api.user)}\r\n"
        f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: 1000000\r\n\r\n"
    )
    writer.write(head.encode() + beginning)
    try:
        await writer.drain()
        yield
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("beginning", [b"", b"--b\r\n", b"--b\r\n" + part("file", b"\xff\xd8\xff")])
async def test_whoever_only_begins_keeps_nobody_out(api: Api, beginning: bytes) -> None:
    """Neither others, nor themselves: what takes room are bytes, and these are few."""
    others = [replace(api, user=UserId(f"{api.user}-{number}")) for number in range(4)]
    async with AsyncExitStack() as idle:
        for number in range(32):
            await idle.enter_async_context(begun(others[number % 4], beginning))
        async with asyncio.timeout(PAUSE_SECONDS - 1):
            answers = [await detect(api), await detect(others[0])]

    assert [202, 202] == [answer.status for answer in answers]


async def test_a_crowd_waits_a_moment_and_comes_again(api: Api) -> None:
    """Told when."""
    seats = seats_of(api)
    seats._patience_seconds = 0.05
    async with AsyncExitStack() as taken:
        for number in range(4):
            grow = await taken.enter_async_context(seats.taken(UserId(f"somebody-{number}")))
            await grow(4 * MAX_UPLOAD_BYTES)
        crowded = await detect(api)
        await taken.aclose()
    served = await detect(api)

    assert (503, "unavailable") == crowded.error
    assert int(crowded.headers["Retry-After"]) >= 1
    assert 202 == served.status


async def sit(seats: Seats, user: UserId, size: int) -> None:
    """Take a seat for a moment."""
    async with seats.taken(user) as grow:
        await grow(size)


async def test_one_user_does_not_take_all_room() -> None:
    """What is free again is taken at once, and nobody is remembered who holds none."""
    seats = Seats(most_bytes=30, most_bytes_of_one=20, patience_seconds=0.05)
    alice, bob = UserId("alice"), UserId("bob")
    async with seats.taken(alice) as grow:
        await grow(8)
        await grow(12)
        with pytest.raises(TooBusy):
            await sit(seats, alice, 1)
        async with seats.taken(bob) as grow_too:
            await grow_too(9)
            with pytest.raises(TooBusy):
                await grow_too(2)
            await grow_too(1)
        await sit(seats, bob, 10)
    await sit(seats, alice, 20)

    assert not seats._held


async def test_room_that_becomes_free_is_taken_at_once() -> None:
    """By as many as it is enough for, and not before."""
    seats = Seats(most_bytes=30, most_bytes_of_one=30, patience_seconds=20)
    async with seats.taken(UserId("alice")) as grow:
        await grow(30)
        waiting = [asyncio.create_task(sit(seats, UserId(name), 15)) for name in ("bob", "carol", "dave")]
        done, _ = await asyncio.wait(waiting, timeout=0.05)
    async with asyncio.timeout(1):
        await asyncio.gather(*waiting)

    assert not done
