"""S3's events as they are read: which are ours, whose they are, and which job each one names."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.aws import Clients
from jobs.ids import UserId, new_job_id
from jobs.upload_events import UploadEventQueue, read_key, read_message

BUCKET = "uploads"
NAME = "1795165200123_0f3a5c7e9b1d4f60a2c4e6880a1b2c3d"
KEY = f"reports/8a1b-user/phone_1/{NAME}.jpg"


def body_of(*keys: str, bucket: str = BUCKET, event: str = "ObjectCreated:Put") -> str:
    """Write what S3 writes."""
    entities = [{"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/"), "size": 7}} for key in keys]
    return json.dumps({"Records": [{"eventVersion": "2.1", "eventName": event, "s3": entity} for entity in entities]})


def test_a_key_names_its_owner_and_the_device() -> None:
    """The job's id begins with the key's time, as if it had been made then."""
    upload = read_key(KEY)

    assert upload is not None
    assert (UserId("8a1b-user"), "phone_1", KEY) == (upload.user_id, upload.device_id, upload.key)
    assert f"job_{1795165200123:012x}" == upload.job_id[:16]
    assert len(new_job_id()) == len(upload.job_id)


@pytest.mark.parametrize(
    "key",
    [
        f"reports/anonymous-0a/browser/{NAME}.png",
        f"reports/google|7+a@b.example:x/browser/{NAME}.webp",
        f"reports/u/{'d' * 64}/{NAME}.JPEG",
        "reports/u/d/20261120090000_8a1b0c2d-1234-4abc-9def-0123456789ab.Jpg",
        "reports/u/d/1795165200_0f3a5c7e.png",
    ],
)
def test_names_as_phones_write_them_are_ours(key: str) -> None:
    """Other times than milliseconds, UUIDs with dashes, and shouted extensions too."""
    assert read_key(key) is not None


@pytest.mark.parametrize(
    "key",
    [
        "",
        "reports/",
        f"uploads/u/d/{NAME}.jpg",
        f"/reports/u/d/{NAME}.jpg",
        f"x/reports/u/d/{NAME}.jpg",
        f"reports/u/{NAME}.jpg",
        f"reports/u/d/e/{NAME}.jpg",
        f"reports//d/{NAME}.jpg",
        f"reports/u//{NAME}.jpg",
        f"reports/../d/{NAME}.jpg",
        f"reports/u/../{NAME}.jpg",
        f"reports/u%2Fd/{NAME}.jpg",
        f"reports/u d/d/{NAME}.jpg",
        f"reports/사용자/d/{NAME}.jpg",
        f"reports/u\u0661/d/{NAME}.jpg",
        f"reports/u\n/d/{NAME}.jpg",
        f"reports/{'u' * 256}/d/{NAME}.jpg",
        f"reports/u/{'d' * 65}/{NAME}.jpg",
        f"reports/u/내 전화/{NAME}.jpg",
        "reports/u/d/사진.jpg",
        "reports/u/d/IMG_0001.jpg",
        f"reports/u/d/{NAME}",
        f"reports/u/d/{NAME}.gif",
        f"reports/u/d/{NAME}.jpg.exe",
        f"reports/u/d/{NAME}.jpg\n",
        f"reports/u/d/{NAME}.jpg/",
        "reports/u/d/\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661_0f3a5c7e.jpg",
    ],
)
def test_any_other_key_is_nobodys(key: str) -> None:
    """No segment more or less, and nothing that could be taken for another path."""
    assert read_key(key) is None


@given(st.text(max_size=80).map(lambda text: f"reports/{text}"))
def test_no_key_breaks_the_reader(key: str) -> None:
    """What it takes for ours has exactly four segments."""
    upload = read_key(key)

    assert upload is None or key == f"reports/{upload.user_id}/{upload.device_id}/{key.rpartition('/')[2]}"


@pytest.mark.parametrize("timestamp", ["20261120090000", "1795165200", "99999999999999999", "00000000"])
def test_an_id_of_an_implausible_time_begins_with_noughts(timestamp: str) -> None:
    """Never with a time that depends on when the event is told."""
    upload = read_key(f"reports/u/d/{timestamp}_0f3a5c7e.jpg")

    assert upload is not None
    assert re.fullmatch(r"job_0{12}[0-9a-f]{16}", upload.job_id)


def test_each_key_has_an_id_of_its_own() -> None:
    """The same one each time."""
    keys = [KEY, KEY.replace("8a1b", "8a1c"), KEY.replace("phone_1", "phone_2"), KEY.replace(".jpg", ".png")]
    uploads = [read_key(key) for key in keys + keys]
    ids = [upload.job_id for upload in uploads if upload is not None]

    assert ids[:4] == ids[4:]
    assert 4 == len(set(ids))


def test_keys_are_decoded_once() -> None:
    """S3 writes a plus for a space and %2B for a plus; what is encoded twice was named like that."""
    plus = f"reports/a+b@c/d/{NAME}.jpg"
    read = read_message("r", body_of(plus, f"reports/a b/d/{NAME}.jpg", f"reports/u%2Fd/{NAME}.jpg"), BUCKET)

    assert [plus] == [upload.key for upload in read.uploads]
    assert read.has_foreign


def test_bytes_that_are_no_text_are_foreign() -> None:
    """S3's keys are UTF-8; whoever writes others is not S3."""
    assert read_message("r", body_of(KEY).replace("8a1b-user", "%ff"), BUCKET).has_foreign


def test_a_message_may_tell_of_several_uploads() -> None:
    """Each counts once, and what is not ours among them hides nothing."""
    other = KEY.replace("phone_1", "phone_2")
    read = read_message("r", body_of(KEY, other, KEY, "reports/README"), BUCKET)

    assert [KEY, other] == [upload.key for upload in read.uploads]
    assert read.has_foreign


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        "[" * 10_000,
        "[]",
        "null",
        "{}",
        '{"Records": []}',
        '{"Records": 7}',
        '{"Records": [{}]}',
        '{"Event": "s3:SomethingElse"}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {}, "object": {"key": 1}}}]}',
        body_of(KEY, bucket="somebody-elses"),
        body_of(KEY, event="ObjectRemoved:Delete"),
        body_of(KEY)[:-1] + ', "timesPutOff": -1}',
    ],
)
def test_any_other_body_is_foreign(body: str) -> None:
    """It names no upload, and breaks nothing."""
    read = read_message("r", body, BUCKET)

    assert ((), True) == (read.uploads, read.has_foreign)


def test_the_test_event_asks_for_nothing() -> None:
    """S3 sends it when the notification is made."""
    read = read_message("r", '{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "uploads"}', BUCKET)

    assert ((), False) == (read.uploads, read.has_foreign)


async def test_a_copy_is_read_like_its_original(clients: Clients) -> None:
    """It says besides how often it was put off, and since when it waits; and it belongs to its owner's share."""
    key = f"reports/a+b@c/d/{NAME}.jpg"
    url = (await clients.sqs.create_queue(QueueName=new_job_id()))["QueueUrl"]
    queue = UploadEventQueue(clients.sqs, clients.receiver, url=url, bucket=BUCKET, visibility_seconds=0)
    (upload,) = read_message("r", body_of(key), BUCKET).uploads
    await queue.put_off(upload, delay_seconds=0, times_put_off=3, waits_since=1_795_165_200_000)
    (copy,) = await queue.receive(10)
    names: Any = ["All"]
    raw = await clients.sqs.receive_message(QueueUrl=url, AttributeNames=names)

    assert ((upload,), False) == (copy.uploads, copy.has_foreign)
    assert (3, 1_795_165_200_000) == (copy.times_put_off, copy.waits_since)
    assert "a+b@c" == raw["Messages"][0]["Attributes"]["MessageGroupId"]
