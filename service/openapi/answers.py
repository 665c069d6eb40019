"""The shapes of what REST answers, field by field, for its description; jobs are those of the socket."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field

# pydantic refuses that of `typing` before Python 3.12.
from typing_extensions import TypedDict

from jobs.control import CancelOutcome
from jobs.events import EventType
from jobs.model import Status
from jobs.webhook_deliveries import DeliveryStatus
from websocket.wire import (
    CaptureTime,
    Count,
    Cursor,
    DegradedPart,
    Fraction,
    Job,
    JobChanged,
    ReportConfirmed,
    ReportData,
    Resync,
    StateShown,
    Time,
)

Link = Annotated[str, Field(description="A signed link: it works for a while, for whoever has it.")]
PageCursor = Annotated[str, Field(description="Opaque: it leads to the next page. Absent on the last.")]


class Error(TypedDict):
    """Every error; switch on ``code``."""

    error: Annotated[str, Field(description="A sentence for a person.")]
    code: Annotated[str, Field(description="Stable, and the same everywhere.")]
    requestId: Annotated[str, Field(description="As in the header `X-Request-Id`: tell us when you ask for help.")]
    field: NotRequired[Annotated[str, Field(description="The field to blame, where it is one.")]]
    jobId: NotRequired[Annotated[str, Field(description="The job that it is about, where it has come to one.")]]


class QuotaExceeded(TypedDict):
    """The units of the day are used up."""

    error: str
    code: Literal["quota_exceeded"]
    requestId: str
    remainingQuota: Literal[0]
    message: str


class UploadLink(TypedDict):
    """Where to put a photo, once: send exactly ``uploadHeaders`` with it."""

    uploadUrl: Link
    uploadMethod: Literal["PUT"]
    uploadHeaders: dict[str, str]
    fileKey: str
    expiresIn: Annotated[int, Field(ge=1, description="Seconds.")]


class Accepted(TypedDict):
    """A job was taken in. ``remainingQuota`` is absent where it cannot be read just then."""

    jobId: str
    status: Literal["queued"]
    message: str
    remainingQuota: NotRequired[Count]
    retryOf: NotRequired[Annotated[str, Field(description="The job that this one repeats.")]]


class Rectangle(TypedDict):
    """A part of a photo, in whole pixels of it as its viewer sees it."""

    x: Count
    y: Count
    width: Count
    height: Count


class Cracks(TypedDict):
    """What was found in a photo of a room."""

    file_id: str
    image_url: Annotated[str, Field(description="The path of the photo with its cracks marked.")]
    result_url: Annotated[str, Field(description="Its whole address.")]
    has_crack: bool
    confidence: Fraction
    crack_count: Count
    bounding_boxes: list[Rectangle]


class SightingData(TypedDict):
    """A car that was seen."""

    report_id: str | None
    device_id: str
    capture_time: CaptureTime
    latitude: float
    longitude: float
    image_url: str
    plate_string: str
    cropped_url: str


class SightingWritten(TypedDict):
    """A sighting is written down."""

    status: Literal["success"]
    message: str
    processed_data: SightingData
    plate: list[str]
    cropped_url: str


class SightingMissed(TypedDict):
    """The photo shows no vehicle, or no plate that can be read."""

    status: Literal["error"]
    message: str


class Comparison(TypedDict):
    """How alike two backgrounds are; ``report_id`` where a report rests on the two."""

    similarity: Annotated[float, Field(ge=-1, le=1)]
    report_id: NotRequired[str]


class Jobs(TypedDict):
    """A page of jobs, newest first."""

    jobs: list[Job]
    nextCursor: NotRequired[PageCursor]


class Download(TypedDict):
    """Where to fetch the result as a file."""

    downloadUrl: Link
    expiresIn: Annotated[int, Field(ge=1, description="Seconds.")]
    jobId: str


class CancelTold(TypedDict):
    """What the wish to cancel a job came to, and whether its units of the day's quota are the user's again."""

    jobId: str
    status: Status
    outcome: CancelOutcome
    givenBack: bool
    message: str
    job: Job


class JobDeleted(TypedDict):
    """The job and its result are gone."""

    jobId: str
    deleted: Literal[True]


class Report(ReportData):
    """A car that stood in one place. Of another user's sighting it shows the crop alone."""

    firstDeviceId: NotRequired[str]
    lastDeviceId: NotRequired[str]
    firstImageUrl: NotRequired[str]
    lastImageUrl: NotRequired[str]
    firstCroppedUrl: NotRequired[Link]
    secondCroppedUrl: NotRequired[Link]
    createdAt: Time
    updatedAt: Time


class Reports(TypedDict):
    """A page of reports, newest first."""

    reports: list[Report]
    nextCursor: NotRequired[PageCursor]


class News(TypedDict):
    """What has happened since a cursor; ask again with the new one."""

    events: list[JobChanged | ReportConfirmed | Resync | StateShown]
    cursor: Cursor | None


class ServerSentEvent(TypedDict):
    """One event of a stream: ``data`` is a message as JSON, ``id`` the cursor, where it comes from the log."""

    data: Annotated[str, Field(json_schema_extra={"contentMediaType": "application/json"})]
    event: NotRequired[str]
    id: NotRequired[Cursor]


class User(TypedDict):
    """The caller, and what is left of the day; what the token never told is empty."""

    userId: str
    email: str
    displayName: str
    profileImage: str
    provider: str
    dailyLimit: Count
    remainingQuota: Count
    usedToday: Count
    totalImages: Count
    createdAt: str
    lastLoginAt: str
    quotaResetsAt: Time


class UserJobs(TypedDict):
    """A page of jobs, newest first; ``total`` counts this page."""

    jobs: list[Job]
    total: Count
    limit: Count
    hasMore: bool
    nextToken: PageCursor | None


class Webhook(TypedDict):
    """Who is told of what."""

    webhookId: str
    url: str
    events: list[EventType]
    enabled: bool
    createdAt: Time
    description: NotRequired[str]
    disabledReason: NotRequired[Annotated[str, Field(description="Why it was disabled, as a sentence.")]]


class NewWebhook(Webhook):
    """A webhook and its secret, which is told this once."""

    secret: Annotated[str, Field(description="What its deliveries are signed with. It is not told again.")]


class Webhooks(TypedDict):
    """The caller's webhooks, oldest first."""

    webhooks: list[Webhook]


class WebhookDeleted(TypedDict):
    """The webhook is gone."""

    webhookId: str
    deleted: Literal[True]


class DeliveryOrdered(TypedDict):
    """A delivery is on its way."""

    deliveryId: str


class Delivery(TypedDict):
    """One message to one webhook, and what came of it."""

    deliveryId: str
    type: str
    status: DeliveryStatus
    attempts: Count
    createdAt: Time
    jobId: NotRequired[str]
    version: NotRequired[Annotated[int, Field(ge=1)]]
    eventId: NotRequired[str]
    statusCode: NotRequired[Annotated[int, Field(description="What the endpoint answered last.")]]
    error: NotRequired[Annotated[str, Field(description="What was wrong with the last attempt.")]]
    lastAttemptAt: NotRequired[Time]
    nextAttemptAt: NotRequired[Time]


class Deliveries(TypedDict):
    """A page of a webhook's deliveries, newest first."""

    deliveries: list[Delivery]
    nextCursor: NotRequired[PageCursor]


class Words(TypedDict):
    """The same in both languages."""

    en: str
    ko: str


class Style(TypedDict):
    """A style of profile photos."""

    id: str
    name: Words
    description: Words
    takesPrompt: bool
    takesBackground: bool
    default: bool


class Styles(TypedDict):
    """What one may choose for a profile photo."""

    styles: list[Style]
    formats: list[dict[str, Any]]
    backgrounds: list[dict[str, Any]]


class Alive(TypedDict):
    """The process is alive; `release` is what the deployment calls that which runs."""

    status: Literal["healthy"]
    release: NotRequired[str]


class Part(DegradedPart):
    """What is wrong with one part, and since when."""

    since: Time


class Ready(TypedDict):
    """The task wants requests; what is degraded is no reason to take it away."""

    status: Literal["ready"]
    degraded: NotRequired[list[Part]]


class Health(TypedDict):
    """The originals' health check; ``model_loaded`` is false while Gemini is cut off."""

    status: Literal["healthy"]
    message: str
    model_loaded: bool


class SignedIn(TypedDict):
    """Tokens of a demo user."""

    idToken: str
    accessToken: str
    refreshToken: str
    expiresIn: Annotated[int, Field(ge=1, description="Seconds.")]


class ErasedCounts(TypedDict):
    """How much this request has erased."""

    jobs: Count
    files: Count
    events: Count
    sightings: Count
    reports: Count
    webhooks: Count


class AccountErased(TypedDict):
    """What is gone; where that is not all, ask once more."""

    complete: bool
    erased: ErasedCounts
