"""An emulated account for `bash scripts/deploy`, with small templates of what the emulator could not make or is slow to make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.cloud import Cloud, CloudOptions, embedded_cloud
from deploy.release import account as account_of_aws
from deploy.release import gemini_key
from deploy.release.account import Account, open_account
from deploy.release.options import Options
from deploy.release.stacks import Stacks
from tests.conftest import CHECKOUT

PAGE = "http://127.0.0.1:8080"
REGISTRY = "000000000000.dkr.ecr.us-east-1.amazonaws.com/trial"
OLD, NEW = (f"{REGISTRY}@sha256:{letter * 64}" for letter in "ab")
# What the real one has besides is nothing that the emulator could make.
TASKS = """
Parameters:
  Image: {Type: String}
  PreviousImage: {Type: String, Default: none}
  DataStackName: {Type: String}
  DomainName: {Type: String}
  PublicDomainName: {Type: String, Default: ""}
  HostedZoneId: {Type: String}
  RoleBoundaryArn: {Type: String, Default: ""}
  MinTasks: {Type: Number, Default: 1}
  MaxTasks: {Type: Number, Default: 1}
  CpuArchitecture: {Type: String, Default: ARM64}
  Address: {Type: String, Default: "http://127.0.0.1:1"}
  Delay: {Type: Number, Default: 0}
Resources:
  Queue: {Type: AWS::SQS::Queue, Properties: {DelaySeconds: !Ref Delay, Tags: [{Key: image, Value: !Ref Image}]}}
Outputs:
  Url: {Value: !Ref Address}
  VpcId: {Value: vpc-1}
  LoadBalancerArn: {Value: "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/trial/1"}
"""
# The real one takes a second, and is made once, in the first test.
DATA = """
Parameters:
  PageOrigins: {Type: CommaDelimitedList}
  SignInDomainPrefix: {Type: String, Default: ""}
  SignInCallbackUrls: {Type: CommaDelimitedList}
  SignOutUrls: {Type: CommaDelimitedList}
  GoogleClientSecret: {Type: String, Default: "", NoEcho: true}
Resources:
  Secret: {Type: AWS::SecretsManager::Secret, Properties: {GenerateSecretString: {PasswordLength: 32}}}
Outputs:
  GeminiApiKeySecretArn: {Value: !Ref Secret}
  CognitoUserPoolId: {Value: us-east-1_pool}
"""


class Told(list[str]):
    """What a deployment tells."""

    def __call__(self, sentence: str) -> None:
        """Hear a sentence."""
        self.append(sentence)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cloud]:
    """Run a cloud that has what a deployment needs."""
    options = CloudOptions(
        data_dir=tmp_path_factory.mktemp("cloud"),
        page_origins=(PAGE,),
        real_gemini=True,
        more_services=("ecr", "iam", "sts"),
    )
    async with embedded_cloud(options) as running:
        yield running


@pytest.fixture
def told() -> Told:
    """Listen."""
    return Told()


@pytest_asyncio.fixture(loop_scope="module")
async def account(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, told: Told, request: pytest.FixtureRequest
) -> AsyncIterator[Account]:
    """Open the account, with an environment of the test's own."""
    for name, value in cloud.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(account_of_aws, "ROLE_SECONDS", 0)
    prefix = f"trial-{abs(hash(request.node.name)) % 10**6}"
    async with open_account(prefix, None, told) as opened:
        stacks = opened.stacks
        yield replace(opened, stacks=Stacks(stacks._cloudformation, stacks._s3, told, poll_seconds=0.05))


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """Lay the templates ready: the real one of the registry, small ones of data and tasks."""
    (tmp_path / "ci.yaml").write_bytes((CHECKOUT / "deploy" / "ci.yaml").read_bytes())
    (tmp_path / "data.yaml").write_text(DATA)
    (tmp_path / "compute.yaml").write_text(TASKS)
    return tmp_path


@pytest.fixture
def first_time(account: Account, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Ask for a first deployment, with a key at hand."""
    monkeypatch.setenv(gemini_key.VARIABLE, "a-key")
    return Options(
        domain=f"{account.prefix}.example.com", hosted_zone="Z1", image=OLD, is_scanned=False, is_tested=False
    )
