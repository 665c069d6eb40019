"""An example of every body that requests and answers have, by the name of its type, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from service.openapi.parameters import A_DELIVERY, A_JOB, A_REPORT, A_REQUEST, A_WEBHOOK

_Object = dict[str, Any]
_LINK: Final = "https://results.s3.amazonaws.com/generated/alice/one.png?X-Amz-Signature=0f3c"
_KEY: Final = "uploads/alice/1763629200000_5a774c1d9f402d7a0c6b8e153f9b2c1e.jpg"
_BOX: Final = {"x": 120, "y": 48, "width": 300, "height": 20}
_AT: Final = "2026-11-20T09:00:00.000Z"
_LATER: Final = "2026-11-20T09:00:02.143Z"
_CROP: Final = f"s3://results/generated/alice/{A_JOB}.jpg"
_SEEN: Final = {"latitude": 37.5665, "longitude": 126.978}
_HEALTHY: Final = {"status": "healthy", "message": "AI server is running", "model_loaded": True}

_JOB: Final[_Object] = {
    "jobId": A_JOB,
    "userId": "alice",
    "pipeline": "profile-photo",
    "status": "completed",
    "version": 4,
    "terminal": True,
    "attempt": 1,
    "style": "formal_interview",
    "inputImageUrl": f"s3://uploads/{_KEY}",
    "inputImageSignedUrl": _LINK,
    "outputImageUrl": _LINK,
    "processingTime": 2143,
    "metadata": {"generationTime": 2011, "modelName": "a-model", "outputKey": f"generated/alice/{A_JOB}.png"},
    "modelUse": {"calls": 1, "pictures": 1, "tokens": {"prompt": 268, "output": 1120}},
    "result": {"contentType": "image/png", "width": 512, "height": 512, "bytes": 400123},
    "createdAt": _AT,
    "updatedAt": _LATER,
}
_REPORT: Final[_Object] = {
    "reportId": A_REPORT,
    "version": 1,
    "plateString": "12가3456",
    **_SEEN,
    "firstCaptureTime": "2026-11-20 09:00:00",
    "lastCaptureTime": "2026-11-20 09:06:00",
    "firstDeviceId": "phone-1",
    "firstImageUrl": "s3://uploads/reports/alice/phone-1/one.jpg",
    "firstCroppedUrl": _LINK,
    "secondCroppedUrl": _LINK,
    "similarity": 0.93,
    "reportBool": True,
    "createdAt": _AT,
    "updatedAt": _LATER,
}
_WEBHOOK: Final[_Object] = {
    "webhookId": A_WEBHOOK,
    "url": "https://hooks.example.com/darkroom",
    "events": ["job.completed", "job.failed", "job.canceled"],
    "enabled": True,
    "createdAt": _AT,
}
_DELIVERY: Final[_Object] = {
    "deliveryId": A_DELIVERY,
    "type": "job.completed",
    "jobId": A_JOB,
    "version": 4,
    "status": "delivered",
    "attempts": 1,
    "statusCode": 204,
    "createdAt": _AT,
    "lastAttemptAt": _LATER,
}
_PHOTO: Final = {"fileName": "me.jpg", "contentType": "image/jpeg", "fileSize": 482113}
_REQUESTS: Final[dict[str, _Object]] = {
    "UploadRequest": _PHOTO,
    "ParkingPhoto": {**_PHOTO, "pipeline": "parking-report", "deviceId": "phone-1", **_SEEN},
    "GenerateRequest": {"fileKey": _KEY, "style": "formal_interview"},
    "DiaryInput": {"text": "친구와 공원을 산책했다. 정말 행복했다.", "date": "2026-11-20", "style": "watercolour"},
    "SightingRequest": {
        "device_id": "phone-1",
        **_SEEN,
        "capture_time": "2026-11-20 09:00:00",
        "image_url": "s3://uploads/reports/alice/phone-1/one.jpg",
    },
    "ComparisonRequest": {"first_cropped_url": _CROP, "second_cropped_url": _CROP},
    "WebhookRequest": {"url": "https://hooks.example.com/darkroom", "events": ["job.completed"]},
    "DemoSignInRequest": {"user": "alice"},
}
_ANSWERS: Final[dict[str, _Object]] = {
    "QuotaExceeded": {
        "error": "Daily quota exceeded",
        "code": "quota_exceeded",
        "requestId": A_REQUEST,
        "remainingQuota": 0,
        "message": "All 10 pictures of today are used. The quota resets at midnight UTC.",
    },
    "UploadLink": {
        "uploadUrl": "https://uploads.s3.amazonaws.com/one.jpg?X-Amz-Signature=0f3c",
        "uploadMethod": "PUT",
        "uploadHeaders": {"Content-Type": "image/jpeg", "x-amz-server-side-encryption": "AES256"},
        "fileKey": _KEY,
        "expiresIn": 3600,
    },
    "Accepted": {"jobId": A_JOB, "status": "queued", "message": "Your job is in the queue", "remainingQuota": 9},
    "Cracks": {
        "file_id": A_JOB,
        "image_url": f"/result/{A_JOB}",
        "result_url": f"https://photos.example.com/result/{A_JOB}",
        "has_crack": True,
        "confidence": 0.91,
        "crack_count": 1,
        "bounding_boxes": [_BOX],
    },
    "SightingWritten": {
        "status": "success",
        "message": "The sighting is written down",
        "processed_data": {
            "report_id": None,
            "device_id": "phone-1",
            "capture_time": "2026-11-20 09:00:00",
            **_SEEN,
            "image_url": "s3://uploads/reports/alice/phone-1/one.jpg",
            "plate_string": "12가3456",
            "cropped_url": _CROP,
        },
        "plate": ["12가3456"],
        "cropped_url": _CROP,
    },
    "SightingMissed": {"status": "error", "message": "No car or truck was found in the photo"},
    "Comparison": {"similarity": 0.93, "report_id": A_REPORT},
    "Job": _JOB,
    "Jobs": {"jobs": [_JOB]},
    "Download": {"downloadUrl": _LINK, "expiresIn": 3600, "jobId": A_JOB},
    "CancelTold": {
        "jobId": A_JOB,
        "status": "completed",
        "outcome": "too_late",
        "givenBack": False,
        "message": "The job had ended before",
        "job": _JOB,
    },
    "JobDeleted": {"jobId": A_JOB, "deleted": True},
    "Report": _REPORT,
    "Reports": {"reports": [_REPORT]},
    "News": {
        "events": [{"type": "job.completed", "id": "0198f2c4d1a07b3c9e5f6a2d4b81", "time": _LATER, "job": _JOB}],
        "cursor": "0198f2c4d1a07b3c9e5f6a2d4b81",
    },
    "ServerSentEvent": {"data": '{"type":"ping","time":"2026-11-20T09:00:00.000Z","data":{"newestId":null}}'},
    "User": {
        "userId": "alice",
        "email": "alice@example.com",
        "displayName": "Alice",
        "profileImage": "",
        "provider": "cognito",
        "dailyLimit": 10,
        "remainingQuota": 9,
        "usedToday": 1,
        "totalImages": 1,
        "createdAt": _AT,
        "lastLoginAt": _AT,
        "quotaResetsAt": "2026-11-21T00:00:00.000Z",
    },
    "UserJobs": {"jobs": [_JOB], "total": 1, "limit": 20, "hasMore": False, "nextToken": None},
    "Webhook": _WEBHOOK,
    "NewWebhook": {**_WEBHOOK, "secret": "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IQ=="},
    "Webhooks": {"webhooks": [_WEBHOOK]},
    "WebhookDeleted": {"webhookId": A_WEBHOOK, "deleted": True},
    "DeliveryOrdered": {"deliveryId": A_DELIVERY},
    "Delivery": _DELIVERY,
    "Deliveries": {"deliveries": [_DELIVERY]},
    "AccountErased": {
        "complete": True,
        "erased": {"jobs": 3, "files": 5, "events": 11, "sightings": 0, "reports": 0, "webhooks": 1},
    },
    "Styles": {
        "styles": [
            {
                "id": "formal_interview",
                "name": {"en": "Interview", "ko": "면접"},
                "description": {"en": "A suit and a plain background", "ko": "정장과 단색 배경"},
                "takesPrompt": False,
                "takesBackground": True,
                "default": True,
            }
        ],
        "formats": [{"id": "original"}, {"id": "square", "ratio": [1, 1]}],
        "backgrounds": [{"id": "white", "color": "#ffffff"}],
    },
    "Alive": {"status": "healthy"},
    "Ready": {"status": "ready"},
    "Health": _HEALTHY,
    "SignedIn": {"idToken": "eyJ…", "accessToken": "eyJ…", "refreshToken": "eyJ…", "expiresIn": 3600},
}
_TASK: Final = {"name": "task-1", "version": "0.1.0", "startedAt": _AT, "state": "ready", "embedded": False}
_OPERATORS: Final[dict[str, _Object]] = {
    "DrainRequest": {"task": "task-1"},
    "RedriveRequest": {"limit": 10, "dryRun": True},
    "UserChangeRequest": {"dailyLimit": 50, "blocked": False},
    "Draining": {"task": "task-1", "state": "draining"},
    "Redriven": {
        "letters": {"broughtBack": 3, "sentAgain": 0, "over": 1, "notOurs": 0, "notMoved": 0},
        "dryRun": True,
        "complete": True,
    },
    "KnownUser": {
        "userId": "alice",
        "email": "alice@example.com",
        "displayName": "Alice",
        "provider": "cognito",
        "createdAt": _AT,
        "lastLoginAt": _AT,
        "totalImages": 1,
        "dailyLimit": None,
        "usualDailyLimit": 10,
        "usedToday": 1,
        "remainingQuota": 9,
        "quotaResetsAt": "2026-11-21T00:00:00.000Z",
        "blocked": False,
    },
    "OperatorView": {
        "task": _TASK,
        "now": {
            "at": _AT,
            "figures": {"slots": 64, "slotsBusy": 3, "request.p95": None},
            "bounds": {"request.p50": [0.005, 0.01]},
            "counts": {"request": 120},
            "queues": {"jobs": {"waiting": 2, "inFlight": 3, "oldestSeconds": 1}},
            "gates": {"a-model": {"limit": 32, "inUse": 3, "breaker": "closed"}},
            "degraded": [],
        },
        "history": {"everySeconds": 10, "at": [1763629200000], "figures": {"slotsBusy": [3]}},
    },
}
EXAMPLES: Final = _REQUESTS | _ANSWERS | _OPERATORS
