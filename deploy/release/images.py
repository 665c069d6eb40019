"""The image: built and pushed under a tag that says what is in it, scanned, and from then on called by its digest."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from deploy.release.failures import ReleaseFailed
from deploy.release.parts import CHECKOUT, image_files
from service.process import VERSION

if TYPE_CHECKING:
    from types_aiobotocore_ecr import ECRClient

    from deploy.release.stacks import Tell

ENGINES: Final = ("docker", "podman", "buildah")
PLATFORMS: Final = {"ARM64": "linux/arm64", "X86_64": "linux/amd64"}
MACHINES: Final = {"ARM64": ("aarch64", "arm64"), "X86_64": ("x86_64", "amd64")}
EMULATORS: Final = Path("/proc/sys/fs/binfmt_misc")
"""Where Linux lists which files it hands to which program."""
ACCEPTED: Final = CHECKOUT / "deploy" / "accepted-findings.txt"
SCAN_SECONDS: Final = 600
_BLOCKING: Final = "CRITICAL"
_POLL_SECONDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Where images go: `uri` is ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME."""

    uri: str

    @property
    def host(self) -> str:
        """Whom to sign in to."""
        return self.uri.partition("/")[0]

    @property
    def name(self) -> str:
        """What ECR calls it."""
        return self.uri.partition("/")[2]


def content_tag(architecture: str) -> str:
    """Return the tag of an image of this checkout: the same as long as nothing of what goes into it changes."""
    digest = hashlib.sha256()
    for path in image_files():
        digest.update(f"{path.relative_to(CHECKOUT).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{digest.hexdigest()[:16]}-{architecture.lower().replace('_', '-')}"


class Images:
    """The images of one registry. Calls raise ReleaseFailed, and botocore's errors."""

    def __init__(self, ecr: ECRClient, registry: Registry, tell: Tell) -> None:
        self._ecr = ecr
        self._registry = registry
        self._tell = tell

    async def digest_of(self, tag: str) -> str | None:
        """Return the digest of what was pushed under the tag, if anything was."""
        try:
            found = await self._ecr.describe_images(repositoryName=self._registry.name, imageIds=[{"imageTag": tag}])
        except ClientError as error:
            if error.response["Error"].get("Code") == "ImageNotFoundException":
                return None
            raise
        return next((image["imageDigest"] for image in found["imageDetails"]), None)

    async def newest(self, tag: str) -> tuple[str, str] | None:
        """Return tag and digest of the newest image of these contents, if there is one: built again it is `TAG-TIME`."""
        asked: Any = {"repositoryName": self._registry.name, "filter": {"tagStatus": "TAGGED"}}
        pages = self._ecr.get_paginator("describe_images").paginate(**asked)
        images = [image async for page in pages for image in page["imageDetails"]]
        found = [(name, image["imageDigest"]) for image in images for name in image.get("imageTags", ())]
        return max((one for one in found if one[0] == tag or one[0].startswith(f"{tag}-")), default=None)

    async def push(self, tag: str, architecture: str) -> str:
        """Build the image and push it under the tag; returns its digest."""
        engine = find_engine()
        image = f"{self._registry.uri}:{tag}"
        self._tell(f"Building {tag} with {engine}")
        _run(build_command(engine, image, architecture))
        await self._sign_in(engine)
        self._tell(f"Pushing to {self._registry.uri}")
        _run([engine, "push", image])
        digest = await self.digest_of(tag)
        if digest is None:
            raise ReleaseFailed(f"{engine} pushed {image}, but the registry does not have it.")
        return digest

    async def _sign_in(self, engine: str) -> None:
        data = (await self._ecr.get_authorization_token())["authorizationData"][0]
        user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        # By stdin: what stands on a command line may be read by others on the machine.
        _run([engine, "login", "--username", user, "--password-stdin", self._registry.host], given=password)

    async def check(self, digest: str) -> None:
        """Wait for the scan of the image. Raises ReleaseFailed for a critical finding that nobody has accepted."""
        self._tell("Waiting for the registry's scan")
        found = await self._findings(digest)
        accepted = read_accepted(ACCEPTED)
        blocking = sorted({one["name"] for one in found if one.get("severity") == _BLOCKING} - set(accepted))
        if blocking:
            raise ReleaseFailed(
                f"The scan found critical flaws: {', '.join(blocking)}. Nothing was deployed. Update what has them "
                f"(`--rebuild` takes a newer base), or accept one in deploy/{ACCEPTED.name} with the reason."
            )
        self._tell(
            f"The scan found {len(found)} flaws, none of them critical" + (" or all accepted" if accepted else "")
        )

    async def _findings(self, digest: str) -> list[Mapping[str, Any]]:
        asked: Any = {"repositoryName": self._registry.name, "imageId": {"imageDigest": digest}}
        deadline = time.monotonic() + SCAN_SECONDS
        while time.monotonic() < deadline:
            status = await self._scan_status(asked)
            if status in ("COMPLETE", "ACTIVE"):
                pages = self._ecr.get_paginator("describe_image_scan_findings").paginate(**asked)
                return [one async for page in pages for one in page["imageScanFindings"].get("findings", [])]
            if status not in ("PENDING", "IN_PROGRESS"):
                raise ReleaseFailed(f"The registry could not scan the image: {status}. `--no-scan` goes on without.")
            await asyncio.sleep(_POLL_SECONDS)
        raise ReleaseFailed(f"The registry's scan did not end within {SCAN_SECONDS} s. `--no-scan` goes on without.")

    async def _scan_status(self, asked: Any) -> str:
        try:
            return (await self._ecr.describe_image_scan_findings(**asked))["imageScanStatus"]["status"]
        except ClientError as error:
            if error.response["Error"].get("Code") == "ScanNotFoundException":
                return "PENDING"  # it begins some seconds after the push
            raise


def read_accepted(path: Path) -> tuple[str, ...]:
    """Return the findings that somebody has accepted: the first word of each line that is no comment."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return tuple(line.split()[0] for line in lines if line.strip() and not line.startswith("#"))


def find_engine() -> str:
    """Return what builds images on this machine. Raises ReleaseFailed where nothing does."""
    for engine in ENGINES:
        if shutil.which(engine):
            return engine
    raise ReleaseFailed(
        "Building the image takes docker, podman or buildah; none is on the PATH. Install one, or give --image of one that "
        "was pushed already."
    )


def lacking(architecture: str) -> str:
    """Return what this machine lacks to build for the tasks' processor, or nothing; elsewhere than on Linux engines emulate it."""
    if not any(map(shutil.which, ENGINES)):
        return "docker, podman or buildah"
    machines = MACHINES[architecture]
    if sys.platform != "linux" or platform.machine() in machines or any(EMULATORS.glob(f"qemu-{machines[0]}*")):
        return ""
    return f"QEMU for {PLATFORMS[architecture]} (apt-get install qemu-user-static)"


def build_command(engine: str, image: str, architecture: str) -> list[str]:
    """Return how the engine builds the image."""
    command = [engine, "build", "--platform", PLATFORMS[architecture], "--tag", image, "--pull"]
    if engine == "docker":
        command.append("--provenance=false")  # with it an index is pushed, which the registry does not scan
    labels = [f"VERSION={VERSION}", *([f"REVISION={revision}"] if (revision := _revision()) else [])]
    return [*command, *(word for label in labels for word in ("--build-arg", label)), str(CHECKOUT)]


def _revision() -> str:
    command = ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - likewise


def _run(command: Sequence[str], *, given: str | None = None) -> None:
    """Run a command to its end. Raises ReleaseFailed; what it says is on the terminal already."""
    ran = subprocess.run(command, input=given, text=True, check=False)  # noqa: S603 - a list, no shell
    if ran.returncode != 0:
        raise ReleaseFailed(f"`{' '.join(command[:2])}` failed with exit code {ran.returncode}; see above.")
