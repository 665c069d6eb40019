"""Whether the buckets are there, private, encrypted and open to the page, and whether uploads are told of."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from jobs.aws import error_code
from service.commands.checks.finding import Look, State, Wrong
from service.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

_APPLY: Final = (
    "Apply deploy/data.yaml of this version; to a bucket that was taken over do what step 2 of docs/migration.md says."
)
_REPORTS: Final = "reports/"


def looks(client: S3Client, settings: Settings) -> Iterator[Look]:
    """Return the looks at both buckets, and at who is told of uploads."""
    for setting in ("upload_bucket", "result_bucket"):
        name, part = str(getattr(settings, setting)), f"bucket {setting.removesuffix('_bucket')}"
        advice = f"Is {setting.upper()} the name of a bucket in AWS_REGION?"
        yield Look(part=part, take=partial(_look, client, setting, name), advice=advice)
        yield Look(part=f"{part}, origins", take=partial(_look_at_origins, client, name, settings), advice=advice)
        yield Look(part=f"{part}, privacy", take=partial(_look_at_privacy, client, name), advice=advice)
        yield Look(part=f"{part}, encryption", take=partial(_look_at_encryption, client, name), advice=advice)
    take = partial(_look_at_notification, client, settings)
    yield Look(part="bucket upload, events", take=take, advice="Is UPLOAD_BUCKET right?")


async def _look(client: S3Client, setting: str, name: str) -> str:
    try:
        await client.head_bucket(Bucket=name)
    except ClientError as error:
        if error_code(error) not in ("404", "NoSuchBucket"):
            raise
        raise Wrong(f"There is no bucket {name}.", f"Is {setting.upper()} right?") from error
    return f"{name} is there."


async def _look_at_origins(client: S3Client, name: str, settings: Settings) -> str:
    try:
        rules: Any = (await client.get_bucket_cors(Bucket=name))["CORSRules"]
    except ClientError as error:
        if error_code(error) != "NoSuchCORSConfiguration":
            raise
        rules = []
    wanted = dict.fromkeys((*settings.page_origins, *settings.allowed_origins))
    shut_out = [origin for origin in wanted if not any(_lets_in(rule, origin) for rule in rules)]
    if shut_out:
        advice = (
            "Name them in PageOrigins of deploy/data.yaml (and PUBLIC_URL here); a bucket that was taken over gets its rules by "
            "step 2 of docs/migration.md."
        )
        raise Wrong(f"Pages of {', '.join(shut_out)} cannot put and get files.", advice)
    return f"Pages of {', '.join(wanted)} may put and get files."


def _lets_in(rule: Any, origin: str) -> bool:
    return {"PUT", "GET"} <= {*rule["AllowedMethods"]} and any(
        fnmatchcase(origin, allowed) for allowed in rule["AllowedOrigins"]
    )


async def _look_at_privacy(client: S3Client, name: str) -> str:
    try:
        blocks: Any = (await client.get_public_access_block(Bucket=name))["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if error_code(error) != "NoSuchPublicAccessBlockConfiguration":
            raise
        blocks = {}
    names = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    if missing := [each for each in names if not blocks.get(each)]:
        raise Wrong(f"Public access is not blocked: {', '.join(missing)}.", _APPLY)
    return "Public access is blocked."


async def _look_at_encryption(client: S3Client, name: str) -> str:
    try:
        answer: Any = await client.get_bucket_encryption(Bucket=name)
    except ClientError as error:
        if error_code(error) != "ServerSideEncryptionConfigurationNotFoundError":
            raise
        raise Wrong("Files are not encrypted by default.", _APPLY, state=State.WARNING) from error
    rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    return f"Files are encrypted ({rule['SSEAlgorithm']})."


async def _look_at_notification(client: S3Client, settings: Settings) -> str:
    told: Any = await client.get_bucket_notification_configuration(Bucket=settings.upload_bucket)
    queue = settings.upload_events_queue_url.rstrip("/").rsplit("/", 1)[-1]
    if not any(_tells(each, queue) for each in told.get("QueueConfigurations", [])):
        raise Wrong(f"Nobody tells {queue} of photos under {_REPORTS}: none of them starts a job.", _APPLY)
    return f"{queue} is told of photos under {_REPORTS}"


def _tells(configuration: Any, queue: str) -> bool:
    rules = configuration.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    prefix = next((rule["Value"] for rule in rules if rule["Name"].lower() == "prefix"), "")
    events = configuration["Events"]
    is_ours = configuration["QueueArn"].rsplit(":", 1)[-1] == queue
    return is_ours and _REPORTS.startswith(prefix) and any(event.startswith("s3:ObjectCreated") for event in events)
