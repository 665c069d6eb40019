"""Whether the queues are there, and what becomes of messages that nobody can work on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from service.commands.checks.finding import Look, State, Wrong
from service.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_sqs.client import SQSClient

_APPLY: Final = "Apply deploy/data.yaml of this version."
_PAIRS: Final = (
    ("jobs", "sqs_queue_url", "sqs_dlq_url"),
    ("upload events", "upload_events_queue_url", "upload_events_dlq_url"),
    ("webhook deliveries", "webhook_deliveries_queue_url", "webhook_deliveries_dlq_url"),
)


def looks(client: SQSClient, settings: Settings) -> Iterator[Look]:
    """Return a look at each queue and at each dead-letter queue that the settings name."""
    for name, setting, dead_setting in _PAIRS:
        url, dead_url = str(getattr(settings, setting)), getattr(settings, dead_setting, None)
        advice = f"Is {setting.upper()} right, and AWS_REGION?"
        yield Look(part=f"queue {name}", take=partial(_look, client, setting, url, dead_url), advice=advice)
        if dead_url:
            take = partial(_look_at_dead, client, dead_setting, dead_url)
            yield Look(part=f"dead letters {name}", take=take, advice=f"Is {dead_setting.upper()} right?")


async def _look(client: SQSClient, setting: str, url: str, dead_url: str | None) -> str:
    attributes = await _read(client, setting, url)
    name = attributes["QueueArn"].rsplit(":", 1)[-1]
    if attributes.get("FifoQueue") == "true":
        raise Wrong(f"{name} is a FIFO queue.", "Make a standard queue: it alone is fair between users here.")
    policy: dict[str, Any] = json.loads(attributes.get("RedrivePolicy") or "{}")
    if not policy:
        raise Wrong(f"{name} has no dead-letter queue: a message that breaks its worker comes back for ever.", _APPLY)
    dead_name = str(policy["deadLetterTargetArn"]).rsplit(":", 1)[-1]
    if dead_url and dead_url.rstrip("/").rsplit("/", 1)[-1] != dead_name:
        raise Wrong(f"Its dead letters go to {dead_name}, not where the settings say.", "Correct the setting.")
    return f"{name}, dead letters after {policy['maxReceiveCount']} receives in {dead_name}."


async def _look_at_dead(client: SQSClient, setting: str, url: str) -> str:
    attributes = await _read(client, setting, url)
    count = int(attributes["ApproximateNumberOfMessages"])
    if count:
        advice = "Find out why, then: python -m service redrive" if setting == "sqs_dlq_url" else "Find out why."
        raise Wrong(f"It has about {count} messages.", advice, state=State.WARNING)
    return "It is empty."


async def _read(client: SQSClient, setting: str, url: str) -> dict[str, str]:
    try:
        answer: Any = await client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    except client.exceptions.QueueDoesNotExist as error:
        raise Wrong(f"There is no queue {url}.", f"Is {setting.upper()} right?") from error
    attributes: dict[str, str] = answer["Attributes"]
    return attributes
