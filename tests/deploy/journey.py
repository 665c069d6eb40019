"""All that the service does in AWS, done once through a running service, by its users and by an operator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from jobs import aws
from jobs.aws import AWSConfig
from tests.chaos.stage import Stage
from tests.clients.fairstay import form_by_hand
from tests.clients.parking import CAR, FIVE_PAST, NINE, PLATE, SIX_PAST, photo_of
from tests.conftest import CHECKOUT
from tests.webhooks.endpoint import Endpoint

PATIENCE_SECONDS: Final = 30
WAIT: Final = {"Prefer": "wait=30"}
PLACE: Final = (37.56654, 126.97804)
CAR_PHOTO: Final = {
    "pipeline": "parking-report",
    "deviceId": "phone-1",
    "contentType": "image/jpeg",
    "fileName": "a.jpg",
}
IN_FLIGHT: Final = 2
UNFINISHED: Final = 4
SETTINGS: Final = {
    "GEMINI_API_KEY": "",
    "WEBHOOK_ALLOW_PRIVATE": "true",
    "MAX_USER_IN_FLIGHT": str(IN_FLIGHT),
    "MAX_USER_UNFINISHED": str(UNFINISHED),
    "DAILY_SPEND_LIMIT_USD": "1000",
    "SWEEP_SECONDS": "1",
    "QUEUE_PLACE_SECONDS": "0.5",
}
"""The key is read from Secrets Manager, and a user's jobs wait for one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody signed in."""

    session: aiohttp.ClientSession
    url: str
    bucket: str
    user_id: str
    headers: Mapping[str, str]

    async def ask(self, method: str, path: str, *, status: int = 200, **options: Any) -> Any:
        """Ask the service; returns what its answer holds, which must have this status."""
        headers = {**self.headers, **options.pop("headers", {})}
        async with self.session.request(method, self.url + path, headers=headers, **options) as answer:
            assert status == answer.status, (path, await answer.text())
            return await (answer.json() if answer.content_type == "application/json" else answer.read())

    async def follow(self, link: str) -> None:
        """Read what a signed link leads to."""
        async with self.session.get(link) as answer:
            assert answer.status == 200, await answer.text()

    async def upload(self, photo: bytes, **wish: Any) -> str:
        """Put a photo into S3 and return its address there."""
        asked = {"fileName": "a.png", "contentType": "image/png", "fileSize": len(photo), **wish}
        link = await self.ask("POST", "/upload", json=asked)
        async with self.session.put(link["uploadUrl"], data=photo, headers=link["uploadHeaders"]) as answer:
            assert answer.status == 200, await answer.text()
        return str(link["fileKey"])

    async def generate(self, key: str, *, prompt: str = "", **options: Any) -> Any:
        """Ask for a picture of an upload."""
        wish = {"fileKey": key, "style": "professional", "prompt": prompt}
        return await self.ask("POST", "/generate", json=wish, **options)

    async def ended(self, job_id: str, *statuses: str) -> Any:
        """Wait until a job has one of these statuses, and return it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (job := await self.ask("GET", f"/jobs/{job_id}"))["status"] not in statuses:  # noqa: ASYNC110 - asked, not told
                await asyncio.sleep(0.1)
        return job

    async def jobs(self, count: int) -> list[Any]:
        """Wait until so many jobs have ended, and return them."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = (await self.ask("GET", "/jobs"))["jobs"]
                if len(ended := [job for job in found if job["terminal"]]) >= count:
                    return ended
                await asyncio.sleep(0.1)


@asynccontextmanager
async def _callers(url: str, bucket: str) -> AsyncIterator[Callable[[str], Awaitable[Caller]]]:
    async with aiohttp.ClientSession() as session:

        async def sign_in(name: str) -> Caller:
            async with session.post(f"{url}/auth/demo", json={"user": name}) as answer:
                headers = {"Authorization": f"Bearer {(await answer.json())['idToken']}"}
            async with session.get(f"{url}/user/me", headers=headers) as answer:
                user_id = (await answer.json())["userId"]
            return Caller(session=session, url=url, bucket=bucket, user_id=user_id, headers=headers)

        yield sign_in


async def make(stage: Stage, receiver: Endpoint) -> None:
    """Make the whole journey; what it needs the right to do goes through ``stage.aws``."""
    await _put_key(stage)
    await _send_nonsense(stage)
    service = await stage.start_service(SETTINGS)
    photo = (CHECKOUT / "tests" / "data" / "astronaut.png").read_bytes()
    async with _callers(service.url, stage.environment["UPLOAD_BUCKET"]) as sign_in:
        names = ("alice", "bob", "carol", "dave", "erin", "operator")
        alice, bob, carol, dave, erin, operator = [await sign_in(name) for name in names]
        await asyncio.gather(
            _take_a_picture(alice, photo),
            _look_at_walls(alice),
            _hear_of_it(bob, photo, receiver),
            _park(carol, dave),
            _want_too_much(erin, photo, stage),
        )
        await _operate(operator, alice, stage)
        await _leave_traces(alice, stage)
        await asyncio.gather(_take_along_and_erase(alice, bob), _take_along_and_erase(carol, dave))
    assert await stage.stop(service) == 0


async def _put_key(stage: Stage) -> None:
    # Past the proxy, as an operator does it.
    past = {**stage.environment, "AWS_ENDPOINT_URL": stage.clients.sqs.meta.endpoint_url}
    async with aws.client(_config(past), "secretsmanager") as client:
        arn = stage.environment["GEMINI_API_KEY_SECRET_ARN"]
        await client.put_secret_value(SecretId=arn, SecretString="simulated")


async def _send_nonsense(stage: Stage) -> None:
    """Put into two queues what is not ours; it is set aside."""
    for variable in ("SQS_QUEUE_URL", "UPLOAD_EVENTS_QUEUE_URL"):
        await stage.clients.sqs.send_message(QueueUrl=stage.environment[variable], MessageBody="nonsense")


async def _leave_traces(alice: Caller, stage: Stage) -> None:
    """Put rows that an erasure finds and a journey of a minute does not make: a day that is over, a report without its owner."""
    put, tables = stage.clients.dynamodb.put_item, stage.environment
    day: dict[str, Any] = {
        "userIdDate": f"{alice.user_id}#2026-01-01",
        "userId": alice.user_id,
        "date": "2026-01-01",
        "count": 1,
    }
    member = {
        "reportId": "report_gone",
        "member": f"user#{alice.user_id}",
        "userId": alice.user_id,
        "createdAt": "2026",
    }
    await put(TableName=tables["USAGE_LOG_TABLE"], Item=day)
    await put(TableName=tables["PARKING_REPORTS_TABLE"], Item=member)


async def _take_a_picture(alice: Caller, photo: bytes) -> None:
    """The profile photo, from the upload to the file on the disk; one that was refused is tried again, and one deleted."""
    job = await alice.generate(await alice.upload(photo), headers=WAIT)
    job = await alice.ended(job["jobId"], "completed")
    await alice.follow(job["outputImageUrl"])
    await alice.follow((await alice.ask("GET", f"/jobs/{job['jobId']}/download"))["downloadUrl"])
    await alice.generate(f"uploads/{alice.user_id}/1_nothing.png", status=404)
    key = await alice.upload(photo)
    refused = await alice.ended((await alice.generate(key, prompt="[[sim:safety]]"))["jobId"], "failed")
    again = await alice.ask("POST", f"/jobs/{refused['jobId']}/retry")
    await alice.ended(again["jobId"], "failed")
    await alice.ask("DELETE", f"/jobs/{job['jobId']}")
    for path in ("/user/me", "/user/jobs", "/jobs", "/events", "/styles"):
        await alice.ask("GET", path)


async def _look_at_walls(alice: Caller) -> None:
    """A wall, twice under one key, so that the second photo is thrown away; and a diary."""
    form = form_by_hand((CHECKOUT / "tests" / "data" / "wall.jpg").read_bytes(), "file")
    headers = {**form.headers, "Idempotency-Key": "a-wall"}
    found = [await alice.ask("POST", "/detect-crack", data=form.body, headers=headers) for _ in range(2)]
    await alice.ask("GET", found[0]["image_url"])
    await alice.ask("POST", "/diary", json={"text": "친구와 공원에서 산책을 했다."}, headers=WAIT)


async def _want_too_much(erin: Caller, photo: bytes, stage: Stage) -> None:
    """More jobs than are let fly, at work for longer than a lease lasts; a photo of a car has to wait for all of them."""
    putting_off = stage.aws.when(lambda request: request.action == "SendMessage" and request.says("UploadEventsQueue"))

    async def until_put_off() -> None:
        await putting_off.finished.wait()

    stage.gemini.when(lambda request: request.says("sim:slow")).before(until_put_off)
    key, car = await erin.upload(photo), photo_of(CAR, at=PLACE, taken_at=NINE)
    async with erin.session.ws_connect(f"{erin.url}/ws", headers=dict(erin.headers), protocols=("darkroom.v1",)):
        made = [(await erin.generate(key, prompt="[[sim:slow=1.6]]"))["jobId"] for _ in range(UNFINISHED)]
        await erin.upload(car, **CAR_PHOTO)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await until_put_off()
        await erin.ask("POST", f"/jobs/{made[-1]}/cancel")
        await erin.jobs(UNFINISHED)


async def _park(carol: Caller, dave: Caller) -> None:
    """Two photos of a car by two people are a report; one comes by the old path once more, and its crop is compared."""
    keys = []
    for caller, time in ((carol, NINE), (dave, FIVE_PAST)):
        keys.append(await caller.upload(photo_of(CAR, at=PLACE, taken_at=time), **CAR_PHOTO))
        await caller.jobs(1)
    [report] = (await carol.ask("GET", "/reports"))["reports"]
    await carol.follow((await carol.ask("GET", f"/reports/{report['reportId']}"))["firstCroppedUrl"])
    row = {"device_id": "phone-1", "latitude": PLACE[0], "longitude": PLACE[1], "capture_time": SIX_PAST}
    said = {**row, "plate_string": PLATE, "image_url": f"s3://{carol.bucket}/{keys[0]}"}
    crop = (await carol.ask("POST", "/process_metadata", json=said))["cropped_url"]
    await carol.ask("POST", "/compare_background", json={"first_cropped_url": crop, "second_cropped_url": crop})


async def _hear_of_it(bob: Caller, photo: bytes, receiver: Endpoint) -> None:
    """A webhook is told of a job, tried, told again and taken away; another stays until its owner's account goes."""
    hook = f"/webhooks/{(await bob.ask('POST', '/webhooks', json={'url': receiver.url()}, status=201))['webhookId']}"
    await bob.ask("POST", "/webhooks", json={"url": receiver.url("/other"), "events": ["job.failed"]}, status=201)
    await bob.generate(await bob.upload(photo))
    await receiver.until(1)
    await bob.ask("POST", f"{hook}/test", status=202)
    await receiver.until(2)
    for path in ("/webhooks", hook):
        await bob.ask("GET", path)
    told = (await bob.ask("GET", f"{hook}/deliveries"))["deliveries"][0]
    await bob.ask("POST", f"{hook}/deliveries/{told['deliveryId']}/redeliver", status=202)
    await receiver.until(3)


async def _take_along_and_erase(*callers: Caller) -> None:
    """Each takes all along and is gone; of two who share a report the second takes it away."""
    for caller in callers:
        await caller.ask("GET", "/user/me/export")
        await caller.ask("DELETE", "/user/me")


async def _operate(operator: Caller, alice: Caller, stage: Stage) -> None:
    """Figures, a user's limit and block, and dead letters: one of a job that failed, one that is over, one not ours."""
    jobs = (await alice.ask("GET", "/jobs"))["jobs"]
    for status in ("failed", "completed"):
        job_id = next(job["jobId"] for job in jobs if job["status"] == status)
        body = json.dumps({"jobId": job_id, "userId": alice.user_id})
        await stage.clients.sqs.send_message(QueueUrl=stage.environment["SQS_DLQ_URL"], MessageBody=body)
    await operator.ask("POST", "/ops/redrive", json={"dryRun": False})
    await operator.ask("GET", "/ops/figures")
    for change in ({"dailyLimit": 5}, {"dailyLimit": None}, {"blocked": True}, {"blocked": False}):
        await operator.ask("POST", f"/ops/users/{alice.user_id}", json=change)


def _config(environment: Mapping[str, str]) -> AWSConfig:
    return AWSConfig(
        region=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        access_key_id=environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
