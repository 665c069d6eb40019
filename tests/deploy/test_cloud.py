"""The embedded cloud: what it provides, whom it refuses, what it keeps, and that it never outlives its parent."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import pytest_asyncio
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from deploy import provision
from deploy.cloud import Cloud, CloudFailed, CloudOptions, embedded_cloud
from deploy.provision import read_resources

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "http://127.0.0.1:8080"
CHECKOUT = Path(__file__).resolve().parents[2]
TIMEOUT = aiohttp.ClientTimeout(total=10)
PASSWORD = "Correct-Horse-9"
SESSION: Any = get_session()  # reading the services' models is most of what a client costs


def options_for(data_dir: Path, **changes: Any) -> CloudOptions:
    return replace(CloudOptions(data_dir=data_dir, page_origins=(PAGE,), real_gemini=True), **changes)


class Clients:
    """AWS clients of one embedded cloud, made as the service makes them: once each."""

    def __init__(self, environment: dict[str, str], stack: AsyncExitStack) -> None:
        self.environment = environment
        self._stack = stack
        self._made: dict[str, Any] = {}

    async def of(self, service: str) -> Any:
        if service not in self._made:
            self._made[service] = await self._stack.enter_async_context(self._open(service))
        return self._made[service]

    def _open(self, service: str) -> Any:
        return SESSION.create_client(
            service,
            region_name=self.environment["AWS_REGION"],
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            verify=False,
            config=AioConfig(signature_version="s3v4" if service == "s3" else None, read_timeout=30),
        )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the module's cloud."""
    return tmp_path_factory.mktemp("cloud")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(data_dir: Path) -> AsyncIterator[Cloud]:
    """One embedded cloud for the tests that leave it whole."""
    async with embedded_cloud(options_for(data_dir)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(cloud: Cloud) -> AsyncIterator[Clients]:
    """Clients of that cloud."""
    async with AsyncExitStack() as stack:
        yield Clients(cloud.environment, stack)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that signs nothing."""
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        yield session


async def test_tables_have_their_indexes_expiry_and_recovery(cloud: Cloud, clients: Clients) -> None:
    """What the emulator's CloudFormation drops is there all the same."""
    dynamodb = await clients.of("dynamodb")
    table = cloud.environment["IMAGE_JOBS_TABLE"]

    found = (await dynamodb.describe_table(TableName=table))["Table"]
    expiry = (await dynamodb.describe_time_to_live(TableName=table))["TimeToLiveDescription"]
    backups = (await dynamodb.describe_continuous_backups(TableName=table))["ContinuousBackupsDescription"]

    assert {"UserIdCreatedAtIndex", "StatusIndex", "WaitingIndex"} == {
        index["IndexName"] for index in found["GlobalSecondaryIndexes"]
    }
    assert (expiry["TimeToLiveStatus"], expiry["AttributeName"]) == ("ENABLED", "expiresAt")
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


async def test_queues_have_dead_letters_and_the_chosen_visibility(cloud: Cloud, clients: Clients) -> None:
    """Redrive and time-outs are as in the template and its parameters."""
    sqs = await clients.of("sqs")

    jobs = (await sqs.get_queue_attributes(QueueUrl=cloud.environment["SQS_QUEUE_URL"], AttributeNames=["All"]))[
        "Attributes"
    ]
    dead_letters = (
        await sqs.get_queue_attributes(QueueUrl=cloud.environment["SQS_DLQ_URL"], AttributeNames=["QueueArn"])
    )["Attributes"]["QueueArn"]

    assert {"deadLetterTargetArn": dead_letters, "maxReceiveCount": 3} == {
        key: int(value) if key == "maxReceiveCount" else value
        for key, value in json.loads(jobs["RedrivePolicy"]).items()
    }
    assert (jobs["VisibilityTimeout"], jobs["ReceiveMessageWaitTimeSeconds"]) == ("30", "20")


async def test_uploads_expire_after_thirty_days(cloud: Cloud, clients: Clients) -> None:
    """The bucket's lifecycle is the template's."""
    s3 = await clients.of("s3")
    wanted = read_resources()["UploadBucket"]["Properties"]["LifecycleConfiguration"]["Rules"][0]

    rules = (await s3.get_bucket_lifecycle_configuration(Bucket=cloud.environment["UPLOAD_BUCKET"]))["Rules"]

    assert [(wanted["Id"], wanted["ExpirationInDays"])] == [(rule["ID"], rule["Expiration"]["Days"]) for rule in rules]


async def test_an_upload_below_reports_is_announced(cloud: Cloud, clients: Clients) -> None:
    """S3 tells the upload-events queue about reports/ and about nothing else."""
    s3, sqs = await clients.of("s3"), await clients.of("sqs")
    for key in ("elsewhere/a.png", "reports/b.png"):
        await s3.put_object(Bucket=cloud.environment["UPLOAD_BUCKET"], Key=key, Body=b"x")

    keys: list[str] = []
    async with asyncio.timeout(10):
        while not keys:
            received = await sqs.receive_message(
                QueueUrl=cloud.environment["UPLOAD_EVENTS_QUEUE_URL"], MaxNumberOfMessages=10, WaitTimeSeconds=2
            )
            bodies = [json.loads(message["Body"]) for message in received.get("Messages", [])]
            keys += [record["s3"]["object"]["key"] for body in bodies for record in body.get("Records", [])]

    assert keys == ["reports/b.png"]


async def presigned_put(clients: Clients, key: str, body: bytes) -> tuple[str, dict[str, str]]:
    """Sign an upload as the service does and return the link with the headers it binds."""
    s3 = await clients.of("s3")
    url = await s3.generate_presigned_url(
        "put_object",
        Params={
            "Bucket": clients.environment["UPLOAD_BUCKET"],
            "Key": key,
            "ContentType": "image/png",
            "ContentLength": len(body),
            "ServerSideEncryption": "AES256",
            "IfNoneMatch": "*",
        },
        ExpiresIn=60,
    )
    return url, {"Content-Type": "image/png", "x-amz-server-side-encryption": "AES256", "If-None-Match": "*"}


async def test_a_presigned_upload_works_once(clients: Clients, http: aiohttp.ClientSession) -> None:
    """The signed headers from our own page are accepted, and the key cannot be overwritten."""
    url, headers = await presigned_put(clients, "uploads/once.png", b"picture")

    statuses = []
    for _ in range(2):
        async with http.put(url, data=b"picture", headers=headers | {"Origin": PAGE}) as response:
            statuses.append(response.status)

    assert statuses == [200, 412]


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b"picture", {"Content-Type": "image/gif"}),
        (b"a longer picture", {}),
        (b"picture", {"x-amz-server-side-encryption": "aws:kms"}),
        (b"picture", {"Origin": "http://evil.example"}),
        (b"picture", {"Origin": "null"}),
    ],
)
async def test_a_presigned_upload_binds_what_it_signs(
    clients: Clients, http: aiohttp.ClientSession, body: bytes, changed: dict[str, str]
) -> None:
    """Another type, length, encryption or page is refused."""
    url, headers = await presigned_put(clients, "uploads/bound.png", b"picture")

    async with http.put(url, data=body, headers=headers | {"Origin": PAGE} | changed) as response:
        assert response.status == 403


async def test_only_our_own_pages_may_ask(cloud: Cloud, http: aiohttp.ClientSession) -> None:
    """Preflights of listed origins pass, others fail; a refusal is readable for our own page alone."""
    endpoint = cloud.environment["AWS_ENDPOINT_URL"]
    preflight = {"Access-Control-Request-Method": "PUT"}

    async with http.options(endpoint, headers=preflight | {"Origin": PAGE}) as ours:
        assert ours.status == 200
    async with http.options(endpoint, headers=preflight | {"Origin": "http://evil.example"}) as theirs:
        assert (theirs.status, theirs.headers.get("Access-Control-Allow-Origin")) == (403, None)
    async with http.get(endpoint, headers={"Origin": PAGE}) as refused:
        assert (refused.status, refused.headers.get("Access-Control-Allow-Origin")) == (403, PAGE)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/", {"X-Amz-Target": "secretsmanager.ListSecrets"}),
        (
            "POST",
            "/",
            {"X-Amz-Target": "secretsmanager.ListSecrets", "Authorization": "AWS4-HMAC-SHA256 Credential=test/"},
        ),
        ("POST", "/", {"X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth", "Origin": PAGE}),
        ("POST", "/", {"X-Amz-Target": "AWSCognitoIdentityProviderService.AdminCreateUser"}),
        ("POST", "/_ministack/reset", {}),
        ("GET", "/", {}),
    ],
)
async def test_unsigned_requests_are_refused(
    cloud: Cloud, http: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str]
) -> None:
    """A program or page without our key can neither read nor change anything."""
    async with http.request(method, cloud.environment["AWS_ENDPOINT_URL"] + path, headers=headers, data=b"{}") as reply:
        assert reply.status == 403


async def test_a_page_cannot_sign_for_the_service(cloud: Cloud, http: aiohttp.ClientSession) -> None:
    """The key id, which every signed link shows, opens nothing but signed links to S3."""
    endpoint, key_id = cloud.environment["AWS_ENDPOINT_URL"], cloud.environment["AWS_ACCESS_KEY_ID"]
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={key_id}/20260101/us-east-1/sqs/aws4_request"}
    link = f"{endpoint}/?Action=ListQueues&X-Amz-Signature=0&X-Amz-Credential={key_id}/20260101/us-east-1/"

    async with http.post(endpoint, headers=signed | {"Origin": PAGE}) as from_page:
        assert from_page.status == 403
    async with http.get(link + "sqs/aws4_request") as other_service:
        assert other_service.status == 403
    async with http.get(link + "s3/aws4_request", headers={"X-Amz-Target": "AmazonSQS.ListQueues"}) as disguised:
        assert disguised.status == 403


async def test_a_canceled_long_poll_takes_no_message_with_it(cloud: Cloud, clients: Clients) -> None:
    """A receiver that hung up gets nothing, so the next one does."""
    sqs, queue = await clients.of("sqs"), cloud.environment["SQS_QUEUE_URL"]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20), 0.5)

    await sqs.send_message(QueueUrl=queue, MessageBody="for the living")
    received = await sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2)

    assert [message["Body"] for message in received.get("Messages", [])] == ["for the living"]


async def signing_keys(environment: dict[str, str]) -> dict[str, jwt.PyJWK]:
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as session,
        session.get(environment["TOKEN_JWKS_URL"]) as response,
    ):
        keys = jwt.PyJWKSet.from_dict(await response.json(content_type=None)).keys
    return {str(key.key_id): key for key in keys}


async def sign_in(environment: dict[str, str], cognito: Any) -> str:
    result = await cognito.initiate_auth(
        ClientId=environment["COGNITO_CLIENT_ID"],
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "demo", "PASSWORD": PASSWORD},
    )
    return str(result["AuthenticationResult"]["IdToken"])


def verify(environment: dict[str, str], token: str, keys: dict[str, jwt.PyJWK]) -> dict[str, Any]:
    return jwt.decode(
        token,
        keys[jwt.get_unverified_header(token)["kid"]],
        algorithms=["RS256"],
        audience=environment["COGNITO_CLIENT_ID"],
        issuer=environment["TOKEN_ISSUER"],
    )


async def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    """Item, object, message, user and signing keys are there again, on another port and with another setting."""
    async with embedded_cloud(options_for(tmp_path, token_seconds=300)) as first, AsyncExitStack() as stack:
        before = first.environment
        clients = Clients(before, stack)
        await (await clients.of("dynamodb")).put_item(
            TableName=before["USERS_TABLE"], Item={"userId": {"S": "one"}, "name": {"S": "하나"}}
        )
        await (await clients.of("s3")).put_object(Bucket=before["RESULT_BUCKET"], Key="결과 1.png", Body=b"result")
        await (await clients.of("sqs")).send_message(QueueUrl=before["SQS_QUEUE_URL"], MessageBody="job")
        cognito = await clients.of("cognito-idp")
        pool = {"UserPoolId": before["COGNITO_USER_POOL_ID"], "Username": "demo"}
        await cognito.admin_create_user(**pool, MessageAction="SUPPRESS")
        await cognito.admin_set_user_password(**pool, Password=PASSWORD, Permanent=True)
        await cognito.admin_add_user_to_group(**pool, GroupName="operators")
        old_token = await sign_in(before, cognito)

    changed = options_for(tmp_path, token_seconds=300, visibility_timeout_seconds=7)
    async with embedded_cloud(changed) as second, AsyncExitStack() as stack:
        after = second.environment
        clients = Clients(after, stack)
        item = await (await clients.of("dynamodb")).get_item(
            TableName=after["USERS_TABLE"], Key={"userId": {"S": "one"}}
        )
        s3_object = await (await clients.of("s3")).get_object(Bucket=after["RESULT_BUCKET"], Key="결과 1.png")
        content = await s3_object["Body"].read()
        sqs = await clients.of("sqs")
        received = await sqs.receive_message(QueueUrl=after["SQS_QUEUE_URL"], WaitTimeSeconds=2)
        queue = await sqs.get_queue_attributes(QueueUrl=after["SQS_QUEUE_URL"], AttributeNames=["VisibilityTimeout"])
        keys = await signing_keys(after)
        claims = verify(after, old_token, keys)
        new_claims = verify(after, await sign_in(after, await clients.of("cognito-idp")), keys)

    assert item["Item"]["name"]["S"] == "하나"
    assert content == b"result"
    assert [message["Body"] for message in received["Messages"]] == ["job"]
    assert queue["Attributes"]["VisibilityTimeout"] == "7"
    assert claims["sub"] == new_claims["sub"]
    assert new_claims["cognito:groups"] == ["operators"]
    assert claims["exp"] - claims["iat"] == 300
    assert before["AWS_ACCESS_KEY_ID"] != after["AWS_ACCESS_KEY_ID"]
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "emulator", tmp_path / "logs")] == [0o700, 0o700]


OLD_REPORTS_KEYS = [
    {"AttributeName": "placePlate", "KeyType": "HASH"},
    {"AttributeName": "reportId", "KeyType": "RANGE"},
]


def older_template(folder: Path) -> Path:
    """Write the template as it was when reports were kept by place and plate."""
    older = folder / "data.yaml"
    text = provision.TEMPLATE.read_text(encoding="utf-8")
    for new, old in (
        ("reportId, KeyType: HASH", "placePlate, KeyType: HASH"),
        ("member, KeyType", "reportId, KeyType"),
    ):
        text = text.replace(new, old)
    older.write_text(text.replace("AttributeName: member,", "AttributeName: placePlate,"), encoding="utf-8")
    return older


async def report_keys(cloud: Cloud, stack: AsyncExitStack) -> list[dict[str, str]]:
    dynamodb = await Clients(cloud.environment, stack).of("dynamodb")
    found = await dynamodb.describe_table(TableName=cloud.environment["PARKING_REPORTS_TABLE"])
    keys: list[dict[str, str]] = found["Table"]["KeySchema"]
    return keys


async def test_a_folder_of_an_older_version_still_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table whose keys have changed since is made anew; the others keep what they hold."""
    with monkeypatch.context() as older:
        older.setattr(provision, "TEMPLATE", older_template(tmp_path))
        async with embedded_cloud(options_for(tmp_path)) as first, AsyncExitStack() as stack:
            dynamodb = await Clients(first.environment, stack).of("dynamodb")
            user = {"userId": {"S": "one"}}
            await dynamodb.put_item(TableName=first.environment["USERS_TABLE"], Item=user)
            old_keys = await report_keys(first, stack)
    async with embedded_cloud(options_for(tmp_path)) as second, AsyncExitStack() as stack:
        dynamodb = await Clients(second.environment, stack).of("dynamodb")
        kept = await dynamodb.get_item(TableName=second.environment["USERS_TABLE"], Key=user)
        new_keys = await report_keys(second, stack)

    assert old_keys == OLD_REPORTS_KEYS
    assert new_keys == read_resources()["ParkingReportsTable"]["Properties"]["KeySchema"]
    assert kept["Item"] == user


async def test_a_table_with_other_keys_is_said_in_one_line(tmp_path: Path) -> None:
    """A folder that was torn in the midst of such a change is not served: every write would fail."""
    async with embedded_cloud(options_for(tmp_path)) as first, AsyncExitStack() as stack:
        dynamodb = await Clients(first.environment, stack).of("dynamodb")
        table = first.environment["PARKING_REPORTS_TABLE"]
        await dynamodb.delete_table(TableName=table)
        await dynamodb.create_table(
            TableName=table,
            KeySchema=OLD_REPORTS_KEYS,
            AttributeDefinitions=[
                {"AttributeName": key["AttributeName"], "AttributeType": "S"} for key in OLD_REPORTS_KEYS
            ],
            BillingMode="PAY_PER_REQUEST",
        )

    with pytest.raises(CloudFailed, match=rf"^The table {table} has the keys of .+; start with another data folder\.$"):
        async with embedded_cloud(options_for(tmp_path)):
            pass


async def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    """Whoever asks for a port in use is told so, not shown a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(CloudFailed, match=rf"^The AWS emulator did not start: port {port} cannot be used: .+\.$"):
            async with embedded_cloud(options_for(tmp_path, port=port)):
                pass


async def test_a_data_folder_serves_one_cloud(cloud: Cloud, data_dir: Path) -> None:
    """The second start on a folder waits a moment for a dying one, then says the folder is in use."""
    with pytest.raises(CloudFailed, match=r"^The AWS emulator did not start: the data folder .+ is in use by .+\.$"):
        async with embedded_cloud(options_for(data_dir)):
            pass
