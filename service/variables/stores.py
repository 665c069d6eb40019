"""Where data is, and AWS."""

from __future__ import annotations

from pydantic import AliasChoices, Field, SecretStr

from service.variables.kinds import Group, WebAddress


class Stores(Group):
    """Tables, buckets and queues."""

    heading = "Where data is"

    upload_bucket: str = Field(
        description="The private bucket that photos are uploaded to.", examples=["darkroom-uploads"]
    )
    result_bucket: str = Field(
        description="The private bucket that results are kept in.", examples=["darkroom-results"]
    )
    # Each of these three has an older spelling, which task definitions of the original still carry.
    users_table: str = Field(
        description="The table of users (also as ProfilePhotoAI-Users-Table).",
        validation_alias=AliasChoices("users_table", "ProfilePhotoAI-Users-Table"),
        examples=["darkroom-users"],
    )
    usage_log_table: str = Field(
        description="The table of what each user has used on each day (also as ProfilePhotoAI-UsageLog-Table).",
        validation_alias=AliasChoices("usage_log_table", "ProfilePhotoAI-UsageLog-Table"),
        examples=["darkroom-usage"],
    )
    image_jobs_table: str = Field(
        description="The table of jobs (also as ProfilePhotoAI-ImageJobs-Table).",
        validation_alias=AliasChoices("image_jobs_table", "ProfilePhotoAI-ImageJobs-Table"),
        examples=["darkroom-jobs"],
    )
    job_events_table: str = Field(description="The table of the event log.", examples=["darkroom-events"])
    parking_sightings_table: str = Field(
        description="The table of sightings of parked cars.", examples=["darkroom-sightings"]
    )
    parking_reports_table: str = Field(description="The table of parking reports.", examples=["darkroom-reports"])
    webhooks_table: str = Field(description="The table of webhooks.", examples=["darkroom-webhooks"])
    webhook_deliveries_table: str = Field(
        description="The table of what was delivered to webhooks.", examples=["darkroom-deliveries"]
    )
    sqs_queue_url: str = Field(
        description="The queue of jobs.", examples=["https://sqs.ap-northeast-2.amazonaws.com/111122223333/jobs"]
    )
    sqs_dlq_url: str | None = Field(
        default=None,
        description="The dead-letter queue of jobs: messages that are not ours are moved there at once, and the command "
        "redrive reads it.",
    )
    upload_events_queue_url: str = Field(
        description="The queue in which S3 tells of photos under reports/.",
        examples=["https://sqs.ap-northeast-2.amazonaws.com/111122223333/upload-events"],
    )
    upload_events_dlq_url: str | None = Field(
        default=None, description="The dead-letter queue of UPLOAD_EVENTS_QUEUE_URL."
    )
    webhook_deliveries_queue_url: str = Field(
        description="The queue of deliveries to webhooks.",
        examples=["https://sqs.ap-northeast-2.amazonaws.com/111122223333/webhook-deliveries"],
    )
    webhook_deliveries_dlq_url: str | None = Field(
        default=None,
        description="The dead-letter queue of WEBHOOK_DELIVERIES_QUEUE_URL; the operator's view shows how long it is.",
    )


class AWS(Group):
    """How to reach AWS, or an emulator of it."""

    heading = "AWS"

    aws_region: str = Field(default="ap-northeast-2", description="The AWS region that all of this is in.")
    aws_endpoint_url: WebAddress | None = Field(
        default=None,
        description="The address of an AWS emulator instead of AWS; its keys are then read from AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY.",
    )
    aws_access_key_id: str | None = Field(
        default=None,
        description="The key id, read here for an emulator only: on AWS the usual chain finds the task role.",
    )
    aws_secret_access_key: SecretStr | None = Field(
        default=None, description="The secret that belongs to AWS_ACCESS_KEY_ID, likewise."
    )
