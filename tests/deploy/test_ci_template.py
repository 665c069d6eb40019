"""The way in: who may deploy, what CloudFormation may do for them, and the most that a task can ever be allowed."""

from __future__ import annotations

import fnmatch
import json
import re
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
POLICY_CHARACTERS: Final = 10_240
"""What AWS takes of all the policies within one role, spaces not counted."""
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
    "secretsmanager:*Regions*",
    "secretsmanager:GetRandomPassword", "secretsmanager:GetSecretValue", "sns:PutDataProtectionPolicy", "vpc-lattice:*", "vpce:*",
)  # fmt: skip


# Made by the first deployment, with a person's rights.
FIXED: Final = frozenset(
    f"AWS::EC2::{name}"
    for name in ("InternetGateway", "Route", "RouteTable", "Subnet", "SubnetRouteTableAssociation", "VPC", "VPCEndpoint",
                 "VPCGatewayAttachment")
)  # fmt: skip
KEPT: Final = frozenset({"AWS::Cognito::UserPool", "AWS::SecretsManager::Secret"})
# Actions that know no resource: allowed for one they are allowed for nothing.
OF_NO_RESOURCE: Final = (
    "application-autoscaling:Describe*", "cognito-idp:DescribeUserPoolDomain", "ec2:Describe*", "ecr:GetAuthorizationToken",
    "ecs:CreateCluster", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition", "elasticloadbalancing:Describe*",
    "route53:ListHostedZones", "secretsmanager:GetRandomPassword",
)  # fmt: skip


def statements(role: str) -> list[dict[str, Any]]:
    """Return the statements of a role's policies."""
    policies = RESOURCES[role]["Properties"]["Policies"]
    found = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    return [statement["If"][1] if "If" in statement else statement for statement in found]


def actions(statement: dict[str, Any]) -> list[str]:
    """Return the actions of a statement."""
    said = statement["Action"]
    return [said] if isinstance(said, str) else said


def is_among(action: str, patterns: list[str]) -> bool:
    """Tell whether an action is allowed; IAM knows no upper and lower case here."""
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def arns(statement: dict[str, Any]) -> list[str]:
    """Return the resources of a statement, in an environment called darkroom."""
    said = statement["Resource"]
    texts = [one["Sub"] if "Sub" in one else str(one) for one in (said if isinstance(said, list) else [said])]
    values = {"Prefix": "darkroom", "AWS::Partition": "aws", "AWS::Region": "R", "AWS::AccountId": "1"}
    return [re.sub(r"\$\{([\w:]+)\}", lambda name: values.get(name[1], name[1]), text) for text in texts]


def reached(action: str, arn: str) -> list[str]:
    """Return the statements by which CloudFormation may do something to a thing wherever it is."""
    return [
        statement["Sid"]
        for statement in statements("StackRole")
        if is_among(action, actions(statement))
        and any(fnmatch.fnmatchcase(arn, pattern) for pattern in arns(statement))
        and not {"ArnEquals", "aws:ResourceTag"} & {*statement.get("Condition", {}), *tags(statement)}
    ]


def tags(statement: dict[str, Any]) -> set[str]:
    """Return whether a statement asks for the stack's own mark, and its name."""
    asked = statement.get("Condition", {}).get("StringEquals", {})
    mark = asked.get("aws:ResourceTag/aws:cloudformation:stack-name")
    return {"aws:ResourceTag"} if mark == {"Ref": "Prefix"} else set()


def types_of(template: str) -> set[str]:
    """Return the types of resources that a template has."""
    resources = load_template(CHECKOUT / "deploy" / template)["Resources"]
    return {resource["Type"] for resource in resources.values()}


def permissions_of(kind: str) -> set[str]:
    """Return what AWS says is needed to make, read, change and remove a resource of the type, or what is left of that here."""
    schema = cfnlint.schema.manager.PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    handlers = schema.get("handlers", {})
    asked = (
        ("read",) if kind in FIXED else ("read", "update") if kind in KEPT else ("create", "read", "update", "delete")
    )
    told = [handlers[what]["permissions"] for what in asked if what in handlers]
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


def test_the_stacks_tell_what_the_roles_are_limited_to() -> None:
    """`bash scripts/deploy` reads it from their outputs."""
    told = {name: set(load_template(CHECKOUT / "deploy" / name)["Outputs"]) for name in ("data.yaml", "compute.yaml")}

    assert {"CognitoUserPoolId", "GeminiApiKeySecretArn"} <= told["data.yaml"]
    assert {"LoadBalancerArn", "VpcId"} <= told["compute.yaml"]


def test_what_knows_no_resource_is_allowed_for_none_in_particular() -> None:
    """AWS compares such a call with "*" alone."""
    everything = [statement for role in ("DeployRole", "StackRole") for statement in statements(role)]
    lost = [
        action
        for statement in everything
        for action in actions(statement)
        if statement["Resource"] != "*" and is_among(action, list(OF_NO_RESOURCE))
    ]

    assert [] == lost
    assert ["ClusterAndTaskDefinitions"] == [one["Sid"] for one in everything if "ecs:CreateCluster" in actions(one)]


@pytest.mark.parametrize(
    ("action", "arn"),
    [
        ("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/ZOTHER"),
        ("cognito-idp:UpdateUserPool", "arn:aws:cognito-idp:R:1:userpool/R_other"),
        ("cognito-idp:DeleteUserPool", "arn:aws:cognito-idp:R:1:userpool/UserPoolId"),
        ("secretsmanager:UpdateSecret", "arn:aws:secretsmanager:R:1:secret:GeminiApiKeySecret-other"),
        ("ecs:UpdateService", "arn:aws:ecs:R:1:service/darkroom-staging-Cluster-1/darkroom-staging-Service-1"),
        ("ecs:DeleteCluster", "arn:aws:ecs:R:1:cluster/darkroom-staging-Cluster-1"),
        ("ec2:AuthorizeSecurityGroupIngress", "arn:aws:ec2:R:1:security-group/sg-1"),
        ("ec2:CreateSecurityGroup", "arn:aws:ec2:R:1:vpc/vpc-other"),
        ("ec2:DeleteVpc", "arn:aws:ec2:R:1:vpc/vpc-1"),
        ("ec2:CreateRoute", "arn:aws:ec2:R:1:route-table/rtb-1"),
        ("elasticloadbalancing:DeleteLoadBalancer", "arn:aws:elasticloadbalancing:R:1:loadbalancer/app/other/1"),
        ("elasticloadbalancing:ModifyListener", "arn:aws:elasticloadbalancing:R:1:listener/app/other/1/2"),
        ("iam:PutRolePolicy", "arn:aws:iam::1:role/darkroom-staging-TaskRole-1"),
        ("dynamodb:DeleteTable", "arn:aws:dynamodb:R:1:table/darkroom-staging-data-Users-1"),
    ],
)  # fmt: skip
def test_cloudformation_reaches_no_other_environment(action: str, arn: str) -> None:
    """Nor what else the account has: other names, pools, networks."""
    assert [] == reached(action, arn)


def test_aws_takes_the_policies_of_the_role() -> None:
    """There is a limit to how much may be said."""
    documents = [policy["PolicyDocument"] for policy in RESOURCES["StackRole"]["Properties"]["Policies"]]

    assert sum(len(json.dumps(document, separators=(",", ":"))) for document in documents) < POLICY_CHARACTERS


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
