"""The data template on the emulated cloud: changed, deleted and made again, without losing a row, a message or a file."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy import provision
from deploy.cloud import Cloud, CloudOptions, embedded_cloud
from tests.conftest import PAGE_ORIGIN
from tests.deploy.test_cloud import Clients

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARAMETERS = {"PageOrigins": PAGE_ORIGIN, "PasswordSignIn": "true", "TokenSeconds": "3600"}
ATTRIBUTE = "        - {AttributeName: waitingUser, AttributeType: S}\n"
WAITING = {"jobId": {"S": "job_1"}, "waitingUser": {"S": "alice"}, "createdAt": {"S": "2026-11-20"}}


@pytest_asyncio.fixture(loop_scope="module")
async def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    """Run a cloud whose stack was made from the template as it was when jobs had no index of those that wait."""
    older, text = tmp_path / "data.yaml", provision.TEMPLATE.read_text(encoding="utf-8")
    index = re.search(r"        - IndexName: WaitingIndex\n(?: {10}.*\n)+", text)
    assert index is not None
    older.write_text(text.replace(index[0], "").replace(ATTRIBUTE, ""), encoding="utf-8")
    with monkeypatch.context() as then:
        then.setattr(provision, "TEMPLATE", older)
        options = CloudOptions(data_dir=tmp_path / "cloud", page_origins=(PAGE_ORIGIN,), real_gemini=True)
        async with embedded_cloud(options) as running:
            then.undo()
            yield running


@pytest_asyncio.fixture(loop_scope="module")
async def clients(cloud: Cloud) -> AsyncIterator[Clients]:
    """Open clients, with a row, a message and a file in the cloud."""
    async with AsyncExitStack() as stack:
        opened, names = Clients(cloud.environment, stack), cloud.environment
        await (await opened.of("dynamodb")).put_item(TableName=names["IMAGE_JOBS_TABLE"], Item=WAITING)
        await (await opened.of("sqs")).send_message(QueueUrl=names["SQS_QUEUE_URL"], MessageBody="a job")
        await (await opened.of("s3")).put_object(Bucket=names["RESULT_BUCKET"], Key="a.png", Body=b"a picture")
        yield opened


async def kept(clients: Clients) -> tuple[Any, Any, bytes]:
    """Read the row, the message and the file."""
    names = clients.environment
    key = {"jobId": WAITING["jobId"]}
    row = await (await clients.of("dynamodb")).get_item(TableName=names["IMAGE_JOBS_TABLE"], Key=key)
    received = await (await clients.of("sqs")).receive_message(QueueUrl=names["SQS_QUEUE_URL"], VisibilityTimeout=0)
    file = await (await clients.of("s3")).get_object(Bucket=names["RESULT_BUCKET"], Key="a.png")
    return row.get("Item"), [message["Body"] for message in received.get("Messages", [])], await file["Body"].read()


async def test_an_update_changes_a_queue_and_adds_an_index_in_place(clients: Clients) -> None:
    """Rows that were there are found by the new index, and what was in the queue still is."""
    names = clients.environment
    await provision.provision(names, PARAMETERS | {"VisibilityTimeoutSeconds": "7"})
    dynamodb, sqs = await clients.of("dynamodb"), await clients.of("sqs")
    found = await dynamodb.query(
        TableName=names["IMAGE_JOBS_TABLE"],
        IndexName="WaitingIndex",
        KeyConditionExpression="waitingUser = :user",
        ExpressionAttributeValues={":user": WAITING["waitingUser"]},
    )
    queue = await sqs.get_queue_attributes(QueueUrl=names["SQS_QUEUE_URL"], AttributeNames=["VisibilityTimeout"])

    assert [WAITING["jobId"]] == [item["jobId"] for item in found["Items"]]
    assert "7" == queue["Attributes"]["VisibilityTimeout"]
    assert (WAITING, ["a job"], b"a picture") == await kept(clients)


async def test_a_deleted_stack_leaves_its_data_and_a_new_one_does_not_touch_them(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new stack has another name here: AWS would give new tables names of their own, and the emulator the old ones."""
    await (await clients.of("cloudformation")).delete_stack(StackName=provision.STACK_NAME)
    after_deletion = await kept(clients)
    monkeypatch.setattr(provision, "STACK_NAME", "darkroom-again")
    outputs = await provision.provision(clients.environment, PARAMETERS | {"VisibilityTimeoutSeconds": "30"})

    assert outputs["ImageJobsTable"] != clients.environment["IMAGE_JOBS_TABLE"]
    assert (WAITING, ["a job"], b"a picture") == after_deletion == await kept(clients)
