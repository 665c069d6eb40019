"""The shapes of what the server writes: every message of ``darkroom.v1``, field by field, for its description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NotRequired, TypeAlias

from pydantic import Field

# pydantic refuses that of `typing` before Python 3.12.
from typing_extensions import TypedDict

from jobs.control import CancelOutcome
from jobs.events import EventType, Stage
from jobs.model import Status
from websocket.messages import MAX_CURSOR_CHARACTERS

_TIME: Final = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
_CAPTURE_TIME: Final = r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$"

Time: TypeAlias = Annotated[str, Field(pattern=_TIME, description="ISO 8601, UTC with milliseconds.")]
Cursor: TypeAlias = Annotated[
    str,
    Field(
        max_length=MAX_CURSOR_CHARACTERS, description="Opaque: hand it back as `since` to be told what has followed."
    ),
]
Count: TypeAlias = Annotated[int, Field(ge=0)]
Milliseconds: TypeAlias = Annotated[int, Field(ge=0, description="Milliseconds.")]
JobVersion: TypeAlias = Annotated[
    int, Field(ge=1, description="One higher with every visible change: ignore what is not newer than what you have.")
]
ReportVersion: TypeAlias = Annotated[
    int, Field(ge=1, description="One higher with every change: ignore what is not newer than what you have.")
]
CaptureTime: TypeAlias = Annotated[str, Field(pattern=_CAPTURE_TIME, description="As cameras write it.")]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Ref: TypeAlias = Annotated[str | int, Field(description="What the client had called its message.")]


class Progress(TypedDict):
    """How far a job is; the newest replaces all before."""

    stage: Stage | Literal["queued"]
    fraction: Fraction
    message: str
    partial: NotRequired[Annotated[dict[str, Any], Field(description="What the result has so far.")]]


class Queue(TypedDict):
    """Where a queued job stands, an estimate; the time until work on it begins is absent where it cannot be known."""

    ahead: Annotated[
        int, Field(ge=0, description="Queued jobs before it, all users' together; from 4000 on, at least.")
    ]
    etaSeconds: NotRequired[Annotated[int, Field(ge=1)]]


class ModelUse(TypedDict):
    """What the models have answered for a job."""

    calls: Count
    pictures: Count
    tokens: dict[str, int]


class Metadata(TypedDict):
    """How a result was made."""

    generationTime: Milliseconds
    modelName: NotRequired[str]
    outputKey: NotRequired[str]


class Failure(TypedDict):
    """Why a job failed; switch on ``code``."""

    code: str
    message: str
    retryable: bool


class Job(TypedDict):
    """A whole job; what it does not have is absent."""

    jobId: str
    userId: str
    pipeline: str
    status: Status
    version: JobVersion
    terminal: Annotated[bool, Field(description="Whether no change can follow. Trust it, not the list of statuses.")]
    attempt: Count
    createdAt: Time
    updatedAt: Time
    style: NotRequired[str]
    prompt: NotRequired[str]
    parameters: NotRequired[
        Annotated[dict[str, Any], Field(description="What the pipeline was asked beyond style and prompt.")]
    ]
    units: NotRequired[Annotated[int, Field(ge=0, description="Of the day's quota; absent where it is one.")]]
    charged: NotRequired[
        Annotated[
            bool, Field(description="Whether it counts towards the day's quota; of a job that failed or was canceled.")
        ]
    ]
    inputImageUrl: NotRequired[str]
    inputImageSignedUrl: NotRequired[str]
    outputImageUrl: NotRequired[str]
    retryOf: NotRequired[str]
    processingTime: NotRequired[Milliseconds]
    modelUse: NotRequired[ModelUse]
    metadata: NotRequired[Metadata]
    result: NotRequired[Annotated[dict[str, Any], Field(description="The pipeline's own.")]]
    error: NotRequired[str]
    failure: NotRequired[Failure]
    progress: NotRequired[Progress]
    queue: NotRequired[Queue]


class JobInBrief(TypedDict):
    """Which job it is about."""

    jobId: str
    version: JobVersion
    status: Status
    queue: NotRequired[Queue]


class Quota(TypedDict):
    """A user's day."""

    dailyLimit: Count
    usedToday: Count
    remainingQuota: Count
    resetsAt: Time


class WelcomeData(TypedDict):
    """Who the client is to the server."""

    userId: str
    tokenExpiresAt: Time
    pingSeconds: Annotated[float, Field(gt=0, description="A line that is silent for much longer is dead.")]
    connectionId: NotRequired[str]


class Welcome(TypedDict):
    """The client has signed in. The first message of every connection; what is missed comes next."""

    type: Literal["welcome"]
    time: Time
    data: WelcomeData


class SnapshotData(TypedDict):
    """The newest jobs, newest first; ``hasMore`` says that there are older ones. Of one job alone there is no quota."""

    jobs: list[Job]
    hasMore: bool
    quota: NotRequired[Quota]


class StateShown(TypedDict):
    """How everything is: it replaces all that the client knows. ``id`` is absent where nothing has ever happened."""

    type: Literal["snapshot"]
    id: NotRequired[Cursor]
    time: Time
    data: SnapshotData


class JobChanged(TypedDict):
    """A lasting change of a job: the whole job as it is after it; if it was deleted, as it was.

    ``id`` is absent where an earlier change may still have to be told: then go on from the cursor before.
    """

    type: EventType
    id: NotRequired[Cursor]
    time: Time
    job: Job


class ReportData(TypedDict):
    """A parking report, as in ``GET /reports/{reportId}``, but for its pictures. Capture times are local, without a zone."""

    reportId: str
    version: ReportVersion
    plateString: str
    latitude: float
    longitude: float
    firstCaptureTime: CaptureTime
    lastCaptureTime: CaptureTime
    similarity: NotRequired[Annotated[float, Field(description="Of the two vehicles, where they were compared.")]]
    reportBool: bool


class ReportConfirmed(TypedDict):
    """A report that a sighting of the user belongs to is there, or has changed: the whole of it after that.

    ``id`` is as in a job's change.
    """

    type: Literal["report.confirmed"]
    id: NotRequired[Cursor]
    time: Time
    data: ReportData


class JobProgressed(TypedDict):
    """How far a job is, or where it stands in the queue: ephemeral, and never in the log."""

    type: Literal["job.progress"]
    time: Time
    job: JobInBrief
    data: Progress


class QuotaChanged(TypedDict):
    """What is left of the user's day, a moment after a job has changed it; the newest replaces all before."""

    type: Literal["quota"]
    time: Time
    data: Quota


class HeartbeatData(TypedDict):
    """The newest event that was told to any connection of the user here; null if none was."""

    newestId: Cursor | None


class Heartbeat(TypedDict):
    """The line is alive. A client that does not know ``newestId`` has missed something and resumes."""

    type: Literal["ping"]
    time: Time
    data: HeartbeatData


class DegradedPart(TypedDict):
    """What is wrong with one part."""

    part: str
    condition: str
    reason: str
    retryAfterSeconds: NotRequired[Count]


class DegradedData(TypedDict):
    """All that is wrong now; nothing says that all is well again."""

    parts: list[DegradedPart]


class Degraded(TypedDict):
    """How well the service is."""

    type: Literal["system.degraded"]
    time: Time
    data: DegradedData


class ResyncData(TypedDict):
    """Why what was missed cannot be told."""

    reason: str


class Resync(TypedDict):
    """What was missed cannot be told: a ``snapshot`` follows."""

    type: Literal["resync"]
    time: Time
    data: ResyncData


class TokenData(TypedDict):
    """When the token of this connection ends."""

    tokenExpiresAt: Time


class AuthExpiring(TypedDict):
    """Send a fresh token by ``auth``; the connection ends soon after this one's end."""

    type: Literal["auth.expiring"]
    time: Time
    data: TokenData


class AuthOk(TypedDict):
    """The fresh token is taken."""

    type: Literal["auth.ok"]
    time: Time
    data: TokenData


class CancelOkData(TypedDict):
    """What the wish to cancel a job came to, and whether its unit of the day's quota is the user's again."""

    ref: Ref | None
    jobId: str
    status: Status
    outcome: CancelOutcome
    givenBack: bool
    message: str


class CancelOk(TypedDict):
    """The answer to a ``cancel``."""

    type: Literal["cancel.ok"]
    time: Time
    data: CancelOkData


class ReconnectData(TypedDict):
    """In how many milliseconds."""

    afterMs: Milliseconds


class Reconnect(TypedDict):
    """Open another connection a little later, and leave this one when you have it: this task is about to end."""

    type: Literal["reconnect"]
    time: Time
    data: ReconnectData


class ErrorData(TypedDict):
    """What went wrong; switch on ``code``. ``ref`` is there if it answers a message that had one."""

    code: str
    message: str
    ref: NotRequired[Ref]


class Error(TypedDict):
    """Something went wrong; if the connection ends by it, a close code follows."""

    type: Literal["error"]
    time: Time
    data: ErrorData


DURABLE: Final[Mapping[str, type[Any]]] = {
    **{event.value: JobChanged for event in EventType},
    "report.confirmed": ReportConfirmed,
}
"""Those that the log has: each may come again, and may be where a client leaves off."""
OUTBOUND: Final[Mapping[str, type[Any]]] = {
    "welcome": Welcome,
    "snapshot": StateShown,
    **DURABLE,
    "job.progress": JobProgressed,
    "quota": QuotaChanged,
    "system.degraded": Degraded,
    "ping": Heartbeat,
    "auth.expiring": AuthExpiring,
    "auth.ok": AuthOk,
    "cancel.ok": CancelOk,
    "resync": Resync,
    "reconnect": Reconnect,
    "error": Error,
}
"""The shape of each type of message."""
