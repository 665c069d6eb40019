"""The AWS account as a deployment sees it: its clients, who we are there, and the stacks of one environment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
from botocore.parsers import ResponseParserError

from deploy.release.failures import ReleaseFailed
from deploy.release.stacks import Stack, Stacks

if TYPE_CHECKING:
    from types_aiobotocore_ecr import ECRClient
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_secretsmanager import SecretsManagerClient

    from deploy.release.stacks import Tell

ROLE_SECONDS: Final = 15
"""How long a new role takes until it is known everywhere."""
_ECS: Final = "ecs.amazonaws.com"
_SERVICES: Final = ("cloudformation", "ecr", "iam", "s3", "secretsmanager", "sts")
_CONFIG: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "read_timeout": 30,
    "retries": {"total_max_attempts": 5, "mode": "standard"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account and region; `stacks` reads and makes the stacks of the environment called `prefix`."""

    prefix: str
    region: str
    stacks: Stacks
    ecr: ECRClient
    secrets: SecretsManagerClient
    s3: S3Client
    iam: Any
    sts: Any

    async def whoami(self) -> str:
        """Return the account's number and whoever acts there."""
        said = await self.sts.get_caller_identity()
        return f"account {said['Account']}, region {self.region}, as {said['Arn'].rpartition(':')[2]}"

    async def is_role(self, arn: str) -> bool:
        """Tell whether we act as this role."""
        said = await self.sts.get_caller_identity()
        return f":assumed-role/{arn.rpartition('/')[2]}/" in str(said["Arn"])

    async def prepare_ecs(self) -> None:
        """Make the role by which ECS works. An account has it after its first cluster only, which for Fargate needs it already."""
        if (await self.iam.list_roles(PathPrefix=f"/aws-service-role/{_ECS}/"))["Roles"]:
            return
        await self.iam.create_service_linked_role(AWSServiceName=_ECS)
        await asyncio.sleep(ROLE_SECONDS)

    async def state(self) -> State:
        """Read the stacks of the environment."""
        return State(
            ci=await self.stacks.present(f"{self.prefix}-ci"),
            data=await self.stacks.present(f"{self.prefix}-data"),
            compute=await self.stacks.present(self.prefix),
            page=await self.stacks.present(f"{self.prefix}-page"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The stacks of an environment as they are; None is one that is not there."""

    ci: Stack | None
    data: Stack | None
    compute: Stack | None
    page: Stack | None


@asynccontextmanager
async def open_account(prefix: str, region: str | None, tell: Tell) -> AsyncIterator[Account]:
    """Open the account that AWS's usual chain of credentials leads to. What AWS refuses is raised as ReleaseFailed."""
    session = get_session()
    region = region or os.environ.get("AWS_REGION") or None  # botocore reads AWS_DEFAULT_REGION and the profile only
    try:
        async with AsyncExitStack() as stack:
            clients = {
                service: await stack.enter_async_context(
                    session.create_client(service, region_name=region, config=AioConfig(**_CONFIG))
                )
                for service in _SERVICES
            }
            yield Account(
                prefix=prefix,
                region=clients["cloudformation"].meta.region_name,
                stacks=Stacks(clients["cloudformation"], clients["s3"], tell),
                ecr=clients["ecr"],
                secrets=clients["secretsmanager"],
                s3=clients["s3"],
                iam=clients["iam"],
                sts=clients["sts"],
            )
    except NoCredentialsError as error:
        raise ReleaseFailed(
            "There are no AWS credentials. Sign in with `aws sso login`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY."
        ) from error
    except NoRegionError as error:
        raise ReleaseFailed("There is no AWS region. Say --region ap-northeast-2, or set AWS_REGION.") from error
    except ClientError as error:
        said = error.response["Error"]
        raise ReleaseFailed(
            f"AWS refused {error.operation_name}: {said.get('Code')}: {said.get('Message', '').rstrip('.')}."
        ) from error
    except (BotoCoreError, ResponseParserError) as error:
        raise ReleaseFailed(f"AWS could not be asked: {error}") from error
