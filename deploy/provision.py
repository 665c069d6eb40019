"""Applies data.yaml to a cloud, makes up for what the emulator drops, and proves that the result is whole."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deploy.templates import load_template

if TYPE_CHECKING:
    from types_aiobotocore_cloudformation import CloudFormationClient
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_sqs import SQSClient

TEMPLATE: Final = Path(__file__).with_name("data.yaml")
STACK_NAME: Final = "darkroom"
TABLE: Final = "AWS::DynamoDB::Table"
BUCKET: Final = "AWS::S3::Bucket"
QUEUE: Final = "AWS::SQS::Queue"
POLL_SECONDS: Final = 0.05


class ProvisioningFailed(Exception):
    """The data stack cannot be brought into the state data.yaml describes."""


def read_resources() -> dict[str, dict[str, Any]]:
    """Return the template's resources by logical id."""
    resources: dict[str, dict[str, Any]] = load_template(TEMPLATE)["Resources"]
    return resources


async def provision(
    environment: Mapping[str, str], parameters: Mapping[str, str], *, timeout_seconds: float = 30
) -> dict[str, str]:
    """Apply data.yaml to the emulated cloud that `environment` names and return the stack's outputs.

    `environment` holds AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `parameters` are the
    template's. Creates the stack or updates it in place. Raises ProvisioningFailed with one sentence.
    """
    try:
        async with asyncio.timeout(timeout_seconds), AsyncExitStack() as clients:
            return await _Provisioning(await _open_clients(environment, clients)).run(environment, parameters)
    except TimeoutError:
        raise ProvisioningFailed(f"The data stack was not ready within {timeout_seconds:g} s.") from None


async def _open_clients(environment: Mapping[str, str], stack: AsyncExitStack) -> dict[str, Any]:
    from aiobotocore.config import AioConfig  # noqa: PLC0415 - costs 0.3 s, while the emulator boots
    from aiobotocore.session import get_session  # noqa: PLC0415

    session = get_session()
    config = AioConfig(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 2}, max_pool_connections=20)
    return {
        service: await stack.enter_async_context(
            session.create_client(
                service,
                region_name=environment["AWS_REGION"],
                endpoint_url=environment["AWS_ENDPOINT_URL"],
                aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
                config=config,
                verify=False,  # plain HTTP on loopback; each client would load all certificates of the world, 0.1 s
            )
        )
        for service in ("cloudformation", "dynamodb", "s3", "sqs")
    }


class _Provisioning:
    """One run over the stack: apply, reconcile, check."""

    def __init__(self, clients: Mapping[str, Any]) -> None:
        self.cloudformation: CloudFormationClient = clients["cloudformation"]
        self.dynamodb: DynamoDBClient = clients["dynamodb"]
        self.s3: S3Client = clients["s3"]
        self.sqs: SQSClient = clients["sqs"]
        self.resources = read_resources()

    async def run(self, environment: Mapping[str, str], parameters: Mapping[str, str]) -> dict[str, str]:
        outputs = await self.apply(parameters)
        names = await self.physical_names()
        jwks_url = f"{environment['AWS_ENDPOINT_URL']}/{outputs['CognitoUserPoolId']}/.well-known/jwks.json"
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_check_keys(jwks_url))
                for name, resource in self.resources.items():
                    if settle := self.settlers.get(resource["Type"]):
                        group.create_task(settle(self, names[name], resource["Properties"]))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures  # one sentence is for a person
        return outputs

    async def apply(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """Create or update the stack and return its outputs."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

        request: dict[str, Any] = {
            "StackName": STACK_NAME,
            "TemplateBody": TEMPLATE.read_text(encoding="utf-8"),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        }
        try:
            if await self.exists():
                await self.cloudformation.update_stack(**request)
            else:
                await self.cloudformation.create_stack(**request)
        except ClientError as error:
            message = error.response["Error"].get("Message", "")
            if "No updates are to be performed" not in message:
                raise ProvisioningFailed(f"The data stack was refused: {message}") from error
        return await self.until_complete()

    async def exists(self) -> bool:
        stacks = await self.cloudformation.list_stacks()
        return any(
            stack["StackName"] == STACK_NAME and stack["StackStatus"] != "DELETE_COMPLETE"
            for stack in stacks["StackSummaries"]
        )

    async def until_complete(self) -> dict[str, str]:
        while True:
            stack = (await self.cloudformation.describe_stacks(StackName=STACK_NAME))["Stacks"][0]
            status = stack["StackStatus"]
            if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
                return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
            if not status.endswith("_IN_PROGRESS"):
                raise ProvisioningFailed(f"The data stack ended as {status}: {await self.first_failure()}")
            await asyncio.sleep(POLL_SECONDS)

    async def first_failure(self) -> str:
        events = (await self.cloudformation.describe_stack_events(StackName=STACK_NAME))["StackEvents"]
        failed = [event for event in events if event.get("ResourceStatus", "").endswith("_FAILED")]
        failed.sort(key=lambda event: event["Timestamp"])
        if not failed:
            return "no reason given"
        return f"{failed[0].get('LogicalResourceId')} - {failed[0].get('ResourceStatusReason', 'no reason given')}"

    async def physical_names(self) -> dict[str, str]:
        """Return the real names of the stack's resources by logical id."""
        found = await self.cloudformation.describe_stack_resources(StackName=STACK_NAME)
        return {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in found["StackResources"]}

    async def settle_table(self, table: str, properties: dict[str, Any]) -> None:
        """Switch on expiry and recovery, which the emulator's CloudFormation drops; check them, the keys and the indexes."""
        if wanted := properties.get("TimeToLiveSpecification"):
            await self.expire(table, wanted)
        await self.dynamodb.update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification=properties["PointInTimeRecoverySpecification"]
        )
        found = (await self.dynamodb.describe_table(TableName=table))["Table"]
        if _keys(found["KeySchema"]) != _keys(properties["KeySchema"]):
            raise ProvisioningFailed(
                f"The table {table} has the keys of an older version of Darkroom; start with another data folder."
            )
        indexes = {index["IndexName"] for index in found.get("GlobalSecondaryIndexes", [])}
        missing = {index["IndexName"] for index in properties.get("GlobalSecondaryIndexes", [])} - indexes
        if missing:
            raise ProvisioningFailed(f"The table {table} lacks the index {', '.join(sorted(missing))}.")

    async def expire(self, table: str, wanted: Any) -> None:
        """Set a table's expiry attribute unless it is set, and check it: AWS refuses to set it twice."""
        for attempt in ("look", "set"):
            found = (await self.dynamodb.describe_time_to_live(TableName=table))["TimeToLiveDescription"]
            if found["TimeToLiveStatus"] == "ENABLED" and found["AttributeName"] == wanted["AttributeName"]:
                return
            if attempt == "look":
                await self.dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=wanted)
        raise ProvisioningFailed(f"The table {table} does not expire its items by {wanted['AttributeName']}.")

    async def settle_bucket(self, bucket: str, properties: dict[str, Any]) -> None:
        """Put the lifecycle rules, which the emulator's CloudFormation drops."""
        rules: Any = [_lifecycle_rule(rule) for rule in properties["LifecycleConfiguration"]["Rules"]]
        await self.s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})

    async def check_queue(self, url: str, properties: dict[str, Any]) -> None:
        """Check that what fails three times ends among the dead letters."""
        if "RedrivePolicy" not in properties:
            return
        found = await self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
        if "deadLetterTargetArn" not in found.get("Attributes", {}).get("RedrivePolicy", ""):
            raise ProvisioningFailed(f"The queue {url} has no dead-letter queue.")

    settlers: Final = {TABLE: settle_table, BUCKET: settle_bucket, QUEUE: check_queue}


def _keys(schema: Any) -> dict[str, str]:
    return {key["KeyType"]: key["AttributeName"] for key in schema}


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Say a rule of the template in the words of S3's API."""
    spoken = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if days := rule.get("ExpirationInDays"):
        spoken["Expiration"] = {"Days": days}
    if abort := rule.get("AbortIncompleteMultipartUpload"):
        spoken["AbortIncompleteMultipartUpload"] = abort
    return spoken


async def _check_keys(jwks_url: str) -> None:
    """Check that the pool signs with two real keys; without `cryptography` the emulator hands out one that is fake."""
    from aiohttp import ClientSession, ClientTimeout  # noqa: PLC0415 - as above
    from jwt import PyJWKSet, PyJWTError  # noqa: PLC0415

    async with ClientSession(timeout=ClientTimeout(total=5)) as session, session.get(jwks_url) as response:
        document = await response.json(content_type=None)
    try:
        keys = PyJWKSet.from_dict(document).keys
    except (PyJWTError, AttributeError) as error:
        raise ProvisioningFailed(f"The user pool's signing keys at {jwks_url} are unusable: {error}") from error
    if len(keys) != 2:
        raise ProvisioningFailed(f"The user pool at {jwks_url} has {len(keys)} signing keys instead of two.")
