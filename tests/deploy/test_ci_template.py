"""The way in: who may deploy, what CloudFormation may do for them, and the most that a task can ever be allowed."""

from __future__ import annotations

import fnmatch
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import cfnlint.schema.manager
import pytest

from deploy.release.parts import CHECKOUT
from deploy.release.stacks import INLINE_BYTES
from deploy.templates import load_template

TEMPLATE: Final = CHECKOUT / "deploy" / "ci.yaml"
RESOURCES: Final[dict[str, Any]] = load_template(TEMPLATE)["Resources"]
# What AWS lists for a type and our templates have no use of.
NOT_OURS: Final = (
    "acm-pca:*", "cloudfront:*", "cloudwatch:GetMetricData", "dynamodb:*Item", "dynamodb:*Replica",
    "dynamodb:BatchWriteItem", "dynamodb:*KinesisStreamingDestination", "dynamodb:*ResourcePolicy", "dynamodb:ImportTable",
    "dynamodb:Query", "dynamodb:Scan", "ec2:*SubnetCidrBlock", "ec2:*VpnGateway", "ec2:CreateVpcEncryptionControl",
    "ec2:ModifyVpcTenancy", "ecs:PutAccountSetting*", "ecs:ListTagsForResource", "elasticache:CreateSnapshot",
    "elasticloadbalancing:ModifyIpPools", "firehose:*", "iam:DeleteRolePermissionsBoundary", "iam:PassRole", "kinesis:*",
    "kms:*", "lambda:*", "application-autoscaling:*ScheduledAction", "logs:*Bearer*", "logs:*DataProtectionPolicy",
    "logs:*Deliver*", "logs:*IndexPolic*", "logs:*KmsKey", "logs:*LogEvents", "logs:*LogStream", "logs:*ResourcePolicy",
    "logs:PutLogGroupDeletionProtection", "s3:*Abac*", "s3:*Metadata*", "s3:*Object*", "s3:PutAccelerateConfiguration",
    "s3:PutAnalyticsConfiguration", "s3:PutIntelligentTieringConfiguration", "s3:PutInventoryConfiguration",
    "s3:PutMetricsConfiguration", "s3:PutReplicationConfiguration", "s3:REST*", "s3tables:*",
    "secretsmanager:*Regions*", "secretsmanager:GetSecretValue", "sns:PutDataProtectionPolicy", "vpc-lattice:*", "vpce:*",
)  # fmt: skip


def statements(role: str) -> list[dict[str, Any]]:
    """Return the statements of a role's policies."""
    policies = RESOURCES[role]["Properties"]["Policies"]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def actions(statement: dict[str, Any]) -> list[str]:
    """Return the actions of a statement."""
    said = statement["Action"]
    return [said] if isinstance(said, str) else said


def is_among(action: str, patterns: list[str]) -> bool:
    """Tell whether an action is allowed; IAM knows no upper and lower case here."""
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def types_of(template: str) -> set[str]:
    """Return the types of resources that a template has."""
    resources = load_template(CHECKOUT / "deploy" / template)["Resources"]
    return {resource["Type"] for resource in resources.values()}


def permissions_of(kind: str) -> set[str]:
    """Return what AWS says is needed to make, read, change and remove a resource of the type."""
    schema = cfnlint.schema.manager.PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    handlers = schema.get("handlers", {})
    told = [handlers[what]["permissions"] for what in ("create", "read", "update", "delete") if what in handlers]
    return {permission for permissions in told for permission in permissions}


def test_the_template_passes_cfn_lint() -> None:
    """AWS would take the template as it stands, and without a bucket: it is what makes the bucket."""
    lint = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), TEMPLATE], capture_output=True, text=True, timeout=50, check=False
    )

    assert (0, "") == (lint.returncode, lint.stdout)
    assert len(TEMPLATE.read_bytes()) <= INLINE_BYTES


def test_images_are_scanned_immutable_and_not_kept_for_ever() -> None:
    """A tag means one image for ever, and old ones go."""
    registry = RESOURCES["Registry"]["Properties"]

    assert ("IMMUTABLE", {"ScanOnPush": "true"}) == (
        registry["ImageTagMutability"],
        {name: str(value).lower() for name, value in registry["ImageScanningConfiguration"].items()},
    )
    assert "imageCountMoreThan" in registry["LifecyclePolicy"]["LifecyclePolicyText"]


def test_only_jobs_of_the_environment_may_deploy() -> None:
    """Another repository, branch or environment has another subject, and the token must be meant for AWS."""
    (trust,) = RESOURCES["DeployRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]

    assert "sts:AssumeRoleWithWebIdentity" == trust["Action"]
    assert {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": {
                "Sub": "repo:${GitHubRepository}:environment:${GitHubEnvironment}"
            },
        }
    } == trust["Condition"]


def test_the_account_has_one_provider_only() -> None:
    """It is made where it is missing, and outlives the stack."""
    assert "MakesProvider" == RESOURCES["GitHub"]["Condition"]
    assert "Retain" == RESOURCES["GitHub"]["DeletionPolicy"]


def test_who_deploys_can_hand_over_one_role_to_one_service() -> None:
    """The pipeline itself can make nothing: it has CloudFormation do so, as a role that only CloudFormation may be."""
    passing = [statement for statement in statements("DeployRole") if "iam:PassRole" in actions(statement)]
    free = [statement["Sid"] for statement in statements("DeployRole") if statement["Resource"] == "*"]

    assert [{"GetAtt": "StackRole.Arn"}] == [statement["Resource"] for statement in passing]
    assert {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}} == passing[0]["Condition"]
    assert ["SignInToTheRegistry"] == free
    assert not any(is_among("iam:CreateRole", actions(one)) for one in statements("DeployRole"))


def test_roles_are_made_within_the_boundary_only() -> None:
    """A changed template makes no administrator, and hands no other role to a task."""
    making = [one for one in statements("StackRole") if is_among("iam:PutRolePolicy", actions(one))]
    passing = [one for one in statements("StackRole") if is_among("iam:PassRole", actions(one))]

    assert [{"StringEquals": {"iam:PermissionsBoundary": {"Ref": "RoleBoundary"}}}] == [
        one["Condition"] for one in making
    ]
    assert [{"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}] == [
        one["Condition"] for one in passing
    ]
    assert ["TaskRole", "ExecutionRole"] == [arn["Sub"].rsplit("-", 2)[1] for arn in passing[0]["Resource"]]
    assert not any(is_among("iam:DeleteRolePermissionsBoundary", actions(one)) for one in statements("StackRole"))


@pytest.mark.parametrize("template", ["data.yaml", "compute.yaml"])
def test_cloudformation_may_do_what_the_template_needs(template: str) -> None:
    """What AWS's own description of each type asks for is allowed, but for what we have no use of."""
    allowed = [action for statement in statements("StackRole") for action in actions(statement)]
    needed = {action for kind in types_of(template) for action in permissions_of(kind)}

    assert [] == sorted(action for action in needed if not is_among(action, [*allowed, *NOT_OURS]))


def test_the_boundary_leaves_room_for_what_tasks_do() -> None:
    """Every action that compute.yaml allows its roles is within it."""
    compute = load_template(CHECKOUT / "deploy" / "compute.yaml")["Resources"]
    roles = [compute[name]["Properties"] for name in ("TaskRole", "ExecutionRole")]
    wanted = {
        action
        for role in roles
        for policy in role["Policies"]
        for statement in policy.get("If", [None, policy])[1]["PolicyDocument"]["Statement"]
        for action in actions(statement)
    }
    boundary = RESOURCES["RoleBoundary"]["Properties"]["PolicyDocument"]["Statement"]
    allowed = [action for statement in boundary if "Action" in statement for action in actions(statement)]

    assert [] == sorted(action for action in wanted if not is_among(action, allowed))
    assert all("PermissionsBoundary" in role for role in roles)
