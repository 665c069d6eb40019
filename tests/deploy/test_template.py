"""The data template, and what must hold whoever edits it; and what cfn-lint says of all templates."""

from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint_file
from cfnlint.config import ManualArgs

from deploy.cloud import environment_name
from deploy.provision import TEMPLATE, read_resources

RETAINED = {
    "AWS::DynamoDB::Table",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
    "AWS::Cognito::UserPool",
    "AWS::Cognito::UserPoolClient",
    "AWS::Cognito::UserPoolGroup",
    "AWS::Cognito::UserPoolIdentityProvider",
}


def of_type(name: str) -> dict[str, dict[str, Any]]:
    return {key: value["Properties"] for key, value in read_resources().items() if value["Type"] == name}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("template", sorted(TEMPLATE.parent.glob("*.yaml")), ids=lambda path: path.name)
def test_a_template_passes_cfn_lint(template: Path) -> None:
    """AWS would take it as it stands, in the region of the examples; warnings count."""
    found = lint_file(template, config=ManualArgs(regions=["ap-northeast-2"]))

    assert [] == [f"{match.linenumber}: {match.rule.id} {match.message}" for match in found]


def test_what_holds_data_outlives_its_stack() -> None:
    """Deleting or replacing the stack deletes no table, bucket, queue, secret or pool, nor what a pool is useless without."""
    holding = {name: one for name, one in read_resources().items() if one["Type"] in RETAINED}

    assert len(holding) == 8 + 2 + 6 + 1 + 4
    for name, resource in holding.items():
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain"), name


def test_every_table_is_on_demand_encrypted_and_recoverable() -> None:
    """No table has a capacity to outgrow, plain storage or an unrecoverable past."""
    for name, table in of_type("AWS::DynamoDB::Table").items():
        assert table["BillingMode"] == "PAY_PER_REQUEST", name
        assert table["SSESpecification"]["SSEEnabled"], name
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], name
        assert "TableName" not in table, "a fixed name forbids replacing the table"


def test_the_status_index_is_sparse_and_small() -> None:
    """The index on status is keyed on the shard that only unfinished jobs carry."""
    indexes = of_type("AWS::DynamoDB::Table")["ImageJobsTable"]["GlobalSecondaryIndexes"]
    status = next(index for index in indexes if index["IndexName"] == "StatusIndex")

    assert [key["AttributeName"] for key in status["KeySchema"]] == ["statusShard", "updatedAt"]
    assert status["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["userId", "waiting", "sentAt"]}


def test_parking_sightings_are_matched_and_reports_found_by_key() -> None:
    """One car in one place is one partition, in the order of time; the index holds who may see a report, and nothing of it."""
    tables = of_type("AWS::DynamoDB::Table")
    sightings, reports = tables["ParkingSightingsTable"], tables["ParkingReportsTable"]
    (index,) = reports["GlobalSecondaryIndexes"]

    assert ["placePlate", "capturedAt"] == [key["AttributeName"] for key in sightings["KeySchema"]]
    assert sightings["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert ["reportId", "member"] == [key["AttributeName"] for key in reports["KeySchema"]]
    assert "TimeToLiveSpecification" not in reports
    assert ["userId", "createdAt"] == [key["AttributeName"] for key in index["KeySchema"]]
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}


def test_buckets_are_private_and_refuse_plain_http() -> None:
    """No object is public, and every bucket has a policy that denies requests without TLS."""
    buckets = of_type("AWS::S3::Bucket")
    guarded = {
        policy["Bucket"]["Ref"]
        for policy in of_type("AWS::S3::BucketPolicy").values()
        if policy["PolicyDocument"]["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }

    assert guarded == set(buckets)
    for bucket in buckets.values():
        assert all(bucket["PublicAccessBlockConfiguration"].values())
        assert bucket["CorsConfiguration"]["CorsRules"][0]["AllowedOrigins"] == {"Ref": "PageOrigins"}


def test_every_working_queue_has_dead_letters_kept_longer_than_itself() -> None:
    """What fails three times is kept for two weeks."""
    queues = of_type("AWS::SQS::Queue")
    working = {name: queue for name, queue in queues.items() if "RedrivePolicy" in queue}

    assert {"JobsQueue", "UploadEventsQueue", "WebhookDeliveriesQueue"} == set(working)
    for queue in working.values():
        dead_letters = queue["RedrivePolicy"]["deadLetterTargetArn"]["GetAtt"].removesuffix(".Arn")
        assert queue["RedrivePolicy"]["maxReceiveCount"] == 3
        assert queues[dead_letters]["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


def test_people_sign_in_by_code_and_each_renewal_replaces_the_refresh_token() -> None:
    """Tokens never come in an address, and no client that rotates has the old way to renew."""
    (client,) = of_type("AWS::Cognito::UserPoolClient").values()
    _, with_passwords, with_pages = client["ExplicitAuthFlows"]["If"]

    assert (["code"], False) == (client["AllowedOAuthFlows"], client["GenerateSecret"])
    assert ["openid", "email", "profile"] == client["AllowedOAuthScopes"]
    assert "ALLOW_REFRESH_TOKEN_AUTH" in with_passwords
    assert ["ALLOW_USER_SRP_AUTH"] == with_pages
    assert client["RefreshTokenRotation"]["If"][2]["Feature"] == "ENABLED"


@pytest.mark.parametrize(
    ("output", "variable"),
    [
        ("UsersTable", "USERS_TABLE"),
        ("SqsDlqUrl", "SQS_DLQ_URL"),
        ("GeminiApiKeySecretArn", "GEMINI_API_KEY_SECRET_ARN"),
    ],
)
def test_an_output_is_named_like_its_variable(output: str, variable: str) -> None:
    """The service's variables are the outputs' names in another spelling."""
    assert variable == environment_name(output)
