"""What a live client may ask for: a fresh token, a cancel; and what it is asked."""

from __future__ import annotations

import asyncio
import time

import pytest

from jobs import clock
from tests.push.stage import Message, Theatre, completed


def token(seconds: float, user: str = "alice") -> str:
    """Make a token that is good for so long."""
    return f"{user}@{round(time.time() + seconds)}"


def dying(seconds: float) -> tuple[str, float]:
    """Make a token, which counts whole seconds, and the grace with which its socket lives for so long from now."""
    now = time.time()
    return f"alice@{int(now)}", now - int(now) + seconds


def expiry(message: Message) -> float:
    """Read when the token expires, in seconds since the epoch."""
    return clock.milliseconds(message["data"]["tokenExpiresAt"]) / 1000


async def test_a_fresh_token_is_taken_in_place(theatre: Theatre) -> None:
    """The socket stays, and so does what is owed."""
    push = await theatre.start()
    client = await push.connect_live(token(600))
    fresh = token(3000)
    await client.send({"type": "auth", "token": fresh})
    (taken,) = await client.read_types("auth.ok")
    push.bus.publish(completed())
    await client.read_types("job.completed")

    assert str(round(expiry(taken))) == fresh.partition("@")[2]


@pytest.mark.parametrize(("bad", "code"), [("mallory", "unauthorized"), ("cloud is down", "unavailable")])
async def test_a_bad_token_leaves_the_old_one_in_force(theatre: Theatre, bad: str, code: str) -> None:
    """It is refused, or cannot be checked just now; the old one is good until it expires."""
    push = await theatre.start()
    client = await push.connect_live()
    await client.send({"type": "auth", "token": bad})
    (error,) = await client.read_types("error")
    await client.assert_silent()

    assert (code, "auth") == (error["data"]["code"], error["data"]["ref"])


async def test_a_bad_token_does_not_prolong_the_old_one(theatre: Theatre) -> None:
    """The socket ends with the token that it has."""
    old, grace = dying(0.5)
    push = await theatre.start(expired_token_seconds=grace)
    client = await push.connect_live(old)
    await client.send({"type": "auth", "token": "mallory"})
    found, close_code = await client.read_end()

    assert ["error", "error"] == [message["type"] for message in found if message["type"] != "auth.expiring"]
    assert close_code == 4401


async def test_another_users_token_ends_the_socket(theatre: Theatre) -> None:
    """What is owed to one must not reach another."""
    push = await theatre.start()
    client = await push.connect_live()
    await client.send({"type": "auth", "token": "bob"})

    assert await client.read_error() == ("forbidden", 4403)


async def test_an_expiring_token_is_told_of_once(theatre: Theatre) -> None:
    """And once more for the next one; both half-way, for they live less than a minute."""
    push = await theatre.start(write_check_seconds=0.02, expiring_token_seconds=60)
    client = await push.connect_live(token(1))
    (first,) = await client.read_types("auth.expiring")
    await asyncio.sleep(0.1)  # some checks
    await client.assert_silent()
    await client.send({"type": "auth", "token": token(2)})
    await client.read_types("auth.ok")
    (second,) = await client.read_types("auth.expiring")

    assert expiry(first) < expiry(second)


async def test_a_client_whose_tokens_live_shortly_is_not_asked_over_and_over(theatre: Theatre) -> None:
    """Each of them would be answered by the wish for the next."""
    push = await theatre.start(write_check_seconds=0.02, expiring_token_seconds=60)
    client = await push.connect_live(token(30))
    for _ in range(3):
        await client.send({"type": "auth", "token": token(30)})
        await client.read_types("auth.ok")
        await asyncio.sleep(0.06)  # some checks
        await client.assert_silent()


async def test_a_token_that_is_good_for_long_is_not_told_of(theatre: Theatre) -> None:
    """Only the last minute counts."""
    push = await theatre.start(write_check_seconds=0.02, expiring_token_seconds=60)
    client = await push.connect_live(token(90))
    await asyncio.sleep(0.1)  # some checks

    await client.assert_silent()


async def test_a_fresh_token_moves_both_the_warning_and_the_end(theatre: Theatre) -> None:
    """The socket outlives its first token by far, and is not warned of the second."""
    old, grace = dying(0.5)
    push = await theatre.start(write_check_seconds=0.02, expiring_token_seconds=60, expired_token_seconds=grace)
    client = await push.connect_live(old)
    await client.read_types("auth.expiring")
    await client.send({"type": "auth", "token": token(600)})
    await client.read_types("auth.ok")
    await asyncio.sleep(0.7)

    await client.assert_silent()


async def test_a_fresh_token_with_less_time_ends_the_socket_sooner(theatre: Theatre) -> None:
    """The newest counts, whatever it is."""
    old, grace = dying(0.5)
    push = await theatre.start(expired_token_seconds=grace)
    client = await push.connect_live(token(600))
    await client.send({"type": "auth", "token": old})
    await client.read_types("auth.ok")

    assert (await client.read_end())[1] == 4401


@pytest.mark.parametrize("ref", ["mine", 7, None])
async def test_a_job_is_canceled_and_the_answer_has_the_ref(theatre: Theatre, ref: object) -> None:
    """Whatever the client chose; it says what the cancel came to."""
    push = await theatre.start()
    client = await push.connect_live()
    await client.send({"type": "cancel", "jobId": "job_1"} | ({"ref": ref} if ref is not None else {}))
    (answer,) = await client.read_types("cancel.ok")

    assert answer["data"] == {
        "ref": ref,
        "jobId": "job_1",
        "outcome": "before_start",
        "givenBack": True,
        "for": "alice",
    }


@pytest.mark.parametrize(
    ("job_id", "code"),
    [
        ("job_none", "job_not_found"),
        ("job_of_bob", "forbidden"),
        ("job_far_away", "unavailable"),
        ("job_hung", "unavailable"),
    ],
)
async def test_a_cancel_that_is_refused_ends_nothing(theatre: Theatre, job_id: str, code: str) -> None:
    """Nobody's job, another's, or nobody can say; the answer has the code that REST would have, and the ref."""
    push = await theatre.start(cancel_seconds=0.1)
    client = await push.connect_live()
    await client.send({"type": "cancel", "jobId": job_id, "ref": "r"})
    (error,) = await client.read_types("error")
    await client.assert_silent()

    assert (code, "r") == (error["data"]["code"], error["data"]["ref"])
