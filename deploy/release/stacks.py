"""CloudFormation stacks: as they are, and made as a template wants them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from deploy.release.failures import ReleaseFailed
from deploy.templates import parse_template

if TYPE_CHECKING:
    from types_aiobotocore_cloudformation import CloudFormationClient
    from types_aiobotocore_s3 import S3Client

Tell = Callable[[str], None]
INLINE_BYTES: Final = 51_200
"""What CloudFormation takes of a template that does not lie in a bucket."""
_DONE: Final = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")
_FAILED_FIRST: Final = ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS")
"""A stack that was never made, and can become nothing any more."""
_SUCCEEDED: Final = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack as it is."""

    name: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A stack as it shall be. A parameter that is not said stays as it is, or is the template's default.

    `text` is another template than that in the file.
    """

    name: str
    template: Path
    parameters: Mapping[str, str]
    text: str = ""
    role_arn: str | None = None
    bucket: str | None = None


class Stacks:
    """The stacks of one account and region. Calls raise ReleaseFailed, and botocore's errors."""

    def __init__(
        self, cloudformation: CloudFormationClient, s3: S3Client, tell: Tell, *, poll_seconds: float = 5
    ) -> None:
        self._cloudformation = cloudformation
        self._s3 = s3
        self._tell = tell
        self._poll_seconds = poll_seconds

    async def read(self, name: str) -> Stack | None:
        """Return the stack, or None where there is none."""
        try:
            found = (await self._cloudformation.describe_stacks(StackName=name))["Stacks"][0]
        except ClientError as error:
            if "does not exist" in error.response["Error"].get("Message", ""):
                return None
            raise
        return Stack(
            name=name,
            status=found["StackStatus"],
            parameters={one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", [])},
            outputs={one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])},
        )

    async def present(self, name: str) -> Stack | None:
        """Return the stack once nobody changes it any more, or None where there is none, or what a failed first attempt left."""
        stack = await self.read(name)
        if stack and _is_moving(stack):
            self._tell(f"{name}: somebody is at it already, waiting")
            stack = await self._rested(name)
        return None if stack and stack.status in _FAILED_FIRST else stack

    async def template_of(self, name: str) -> str:
        """Return the stack's own template, as it was handed over."""
        return str((await self._cloudformation.get_template(StackName=name, TemplateStage="Original"))["TemplateBody"])

    async def apply(self, wish: Wish) -> Stack:
        """Make or change the stack, wait until that has come to an end, and return it as it is then."""
        stack = await self._cleared(wish.name)
        request = await self._request(wish, stack)
        self._tell(f"{wish.name}: {'updating' if stack else 'creating'}")
        try:
            if stack:
                await self._cloudformation.update_stack(**request)
            else:
                await self._cloudformation.create_stack(**request)
        except ClientError as error:
            message = error.response["Error"].get("Message", str(error))
            if stack and "No updates are to be performed" in message:
                self._tell(f"{wish.name}: nothing to change")
                return stack
            raise ReleaseFailed(f"{wish.name} was refused: {message}") from error
        return await self._succeeded(wish.name)

    async def _cleared(self, name: str) -> Stack | None:
        """Return the stack once it can be changed; what a failed first attempt left is removed. None: it can be made."""
        stack = await self.present(name)
        if stack is None and await self.read(name):
            await self._remove(name)
        if stack and stack.status not in _DONE:
            raise ReleaseFailed(f"The stack {name} is {stack.status}; only a person can get it out of that.")
        return stack

    async def _remove(self, name: str) -> None:
        self._tell(f"{name}: removing what is left of a failed first attempt")
        await self._cloudformation.delete_stack(StackName=name)
        while stack := await self.read(name):
            if stack.status == "DELETE_FAILED":
                raise ReleaseFailed(f"The stack {name} could not be removed; look at its events.")
            await asyncio.sleep(self._poll_seconds)

    async def _request(self, wish: Wish, stack: Stack | None) -> dict[str, Any]:
        kept = kept_parameters(wish, stack)
        said: list[dict[str, Any]] = [
            {"ParameterKey": name, "ParameterValue": value} for name, value in wish.parameters.items()
        ]
        request = {
            "StackName": wish.name,
            "Parameters": said + [{"ParameterKey": name, "UsePreviousValue": True} for name in sorted(kept)],
            "Capabilities": ["CAPABILITY_IAM"],
            # What is retained is what has been used; a failed first attempt shall leave nothing behind.
            "RetainExceptOnCreate": True,
        }
        return request | await self._template(wish) | ({"RoleARN": wish.role_arn} if wish.role_arn else {})

    async def _template(self, wish: Wish) -> dict[str, str]:
        """Hand the template over, in the bucket where it is too large to be sent."""
        body = _text(wish).encode()
        if len(body) <= INLINE_BYTES:
            return {"TemplateBody": body.decode()}
        if wish.bucket is None:
            raise ReleaseFailed(f"{wish.template.name} is too large to be sent, and there is no bucket for it.")
        key = f"{wish.template.stem}-{hashlib.sha256(body).hexdigest()[:16]}.yaml"
        await self._s3.put_object(Bucket=wish.bucket, Key=key, Body=body)
        return {"TemplateURL": f"{self._s3.meta.endpoint_url}/{wish.bucket}/{key}"}

    async def _succeeded(self, name: str) -> Stack:
        stack = await self._rested(name)
        if stack is None or stack.status not in _SUCCEEDED:
            ended = stack.status if stack else "gone"
            raise ReleaseFailed(f"{name} ended as {ended}:\n{await self._failures(name)}")
        self._tell(f"{name}: {stack.status}")
        return stack

    async def _rested(self, name: str) -> Stack | None:
        """Wait until nothing moves any more, and give a sign of life each minute."""
        beginning = told = time.monotonic()
        while (stack := await self.read(name)) and _is_moving(stack):
            if time.monotonic() - told >= 60:
                told = time.monotonic()
                self._tell(f"{name}: {stack.status}, {(told - beginning) / 60:.0f} min")
            await asyncio.sleep(self._poll_seconds)
        return stack

    async def _failures(self, name: str) -> str:
        """Tell what failed of the stack's latest change, the first first."""
        events = (await self._cloudformation.describe_stack_events(StackName=name))["StackEvents"]
        lines: list[str] = []
        for event in events:  # the newest first
            reason, status = event.get("ResourceStatusReason", "no reason given"), event.get("ResourceStatus", "")
            if status.endswith("_FAILED") and "cancelled" not in reason:
                lines.append(f"  {event.get('LogicalResourceId')}: {reason}")
            if "User Initiated" in reason:
                break  # what is older belongs to an earlier change
        return "\n".join(reversed(lines)) or "  no reason given"


def kept_parameters(wish: Wish, stack: Stack | None) -> set[str]:
    """Return the parameters that stay as they are. Raises ReleaseFailed for what the template does not take, or misses."""
    declared: dict[str, Any] = parse_template(_text(wish)).get("Parameters", {})
    if unknown := sorted(set(wish.parameters) - set(declared)):
        raise ReleaseFailed(f"{wish.template.name} has no parameter {', '.join(unknown)}.")
    for name, value in wish.parameters.items():
        allowed = [str(one) for one in declared[name].get("AllowedValues", [value])]
        if value not in allowed:
            raise ReleaseFailed(f"{name} cannot be {value}; {wish.template.name} takes {', '.join(allowed)}.")
    kept = set(stack.parameters) & set(declared) - set(wish.parameters) if stack else set()
    needed = {name for name, one in declared.items() if "Default" not in one}
    if missing := sorted(needed - kept - set(wish.parameters)):
        raise ReleaseFailed(f"{wish.template.name} needs {', '.join(missing)}: --parameter NAME=VALUE.")
    return kept


def _text(wish: Wish) -> str:
    return wish.text or wish.template.read_text(encoding="utf-8")


def _is_moving(stack: Stack) -> bool:
    # A stack in review is one that somebody has planned and never made: nothing moves there.
    return stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS"
