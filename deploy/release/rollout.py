"""A deployment from beginning to end: the registry, the image, the data, the key, the tasks, the smoke test, the way back."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.release import gemini_key, page
from deploy.release.failures import ReleaseFailed
from deploy.release.images import PLATFORMS, Images, Registry, content_tag, lacking
from deploy.release.options import Options, check, check_change
from deploy.release.parts import CHECKOUT
from deploy.release.stacks import Stack, Wish, kept_parameters
from deploy.release.way_in import ci_wish

if TYPE_CHECKING:
    from deploy.release.account import Account, State
    from deploy.release.stacks import Tell

TEMPLATES: Final = CHECKOUT / "deploy"
NO_IMAGE: Final = "none"
GOOGLE_SECRET: Final = "GOOGLE_CLIENT_SECRET"  # noqa: S105 - the name of a variable
FIRST_ANSWER_SECONDS: Final = 900
"""A new name takes its time until everybody's resolver knows it."""
ANSWER_SECONDS: Final = 120


class Rollout:
    """Brings an environment to what the options ask for. Calls raise ReleaseFailed."""

    def __init__(self, account: Account, options: Options, tell: Tell, templates: Path = TEMPLATES) -> None:
        self._account = account
        self._options = options
        self._tell = tell
        self._templates = templates

    async def run(self) -> str:
        """Do all of it; returns the service's address."""
        state = await self._checked()
        secret = state.data.outputs["GeminiApiKeySecretArn"] if state.data else None
        key = await gemini_key.new_key(self._account.secrets, secret)
        ci = await self._way_in(state)
        image = self._options.image or await self._image(ci, state.compute)
        data = await self._account.stacks.apply(self._data_wish(state, ci))
        if key:
            await self._account.secrets.put_secret_value(
                SecretId=data.outputs["GeminiApiKeySecretArn"], SecretString=key
            )
            self._tell("The Gemini key is in its secret; tasks that run take it within five minutes")
        template_before = await self._account.stacks.template_of(self._account.prefix) if state.compute else ""
        if state.compute is None:
            await self._account.prepare_ecs()
        compute = await self._account.stacks.apply(self._compute_wish(state.compute, ci, image))
        if "StackRoleArn" in ci.outputs:
            await self._way_in(await self._account.state())  # the role reaches what is there now
        if state.page:
            await self._bring_page(state.page)
        if self._options.is_tested:
            await self._test(compute, state.compute, ci, template_before)
        return compute.outputs["Url"]

    async def plan(self) -> list[str]:
        """Say what `run` would do, without doing any of it."""
        state = await self._checked()
        if os.environ.get(gemini_key.VARIABLE):
            steps = [f"put the Gemini key of {gemini_key.VARIABLE} into its secret, unless it is there"]
        else:
            steps = ["ask for the Gemini key, unless the secret has one"]
        steps.append(_sentence(self._ci_wish(state), state.ci))
        steps.append(self._image_sentence(state.compute))
        data = self._data_wish(state, state.ci)
        steps.append(_sentence(data, state.data))
        if state.compute is None:
            steps.append("make the role by which ECS works in this account, unless it is there")
        compute = self._compute_wish(state.compute, state.ci, self._image_to_be(state.compute))
        steps.append(_sentence(compute, state.compute))
        if state.page:
            steps.append(f"put the page's files into {state.page.outputs['PageBucket']}")
        if self._options.is_tested:
            steps.append("run the smoke test, and go back to the image before if it fails")
        return steps

    async def _checked(self) -> State:
        """Return the stacks as they are, once nothing speaks against the options."""
        state = await self._account.state()
        check(self._options, state.data, state.compute, self._templates)
        kept_parameters(self._data_wish(state, state.ci), state.data)
        kept_parameters(self._compute_wish(state.compute, state.ci, self._image_to_be(state.compute)), state.compute)
        return state

    async def roll_back(self) -> str:
        """Go back to the image before, and change nothing else; returns the service's address."""
        state = await self._account.state()
        if state.compute is None:
            raise ReleaseFailed(f"There is no stack {self._account.prefix}: nothing was deployed yet.")
        before = state.compute.parameters.get("PreviousImage", NO_IMAGE)
        if before == NO_IMAGE:
            raise ReleaseFailed(f"The stack {self._account.prefix} knows no image before this one; give --image.")
        template = await self._account.stacks.template_of(self._account.prefix)
        said = {"Image": before, "PreviousImage": state.compute.parameters["Image"]}
        compute = await self._as_it_was(template, said, state.ci)
        if self._options.is_tested and not await self._answers(compute, ANSWER_SECONDS):
            raise ReleaseFailed(f"{before} is deployed again, and the smoke test fails with it too.")
        return compute.outputs["Url"]

    async def change(self) -> str:
        """Set parameters of the tasks, and change neither template nor image; returns the service's address."""
        state = await self._account.state()
        if state.compute is None:
            raise ReleaseFailed(f"There is no stack {self._account.prefix}: nothing was deployed yet.")
        check_change(self._options, state.compute, self._templates)
        template = await self._account.stacks.template_of(self._account.prefix)
        compute = await self._as_it_was(template, self._options.parameters, state.ci)
        if self._options.is_tested:
            await self._test(compute, state.compute, state.ci, template)
        return compute.outputs["Url"]

    async def _way_in(self, state: State) -> Stack:
        """Bring the registry and the roles up to date, which the pipeline cannot: its own role is among them."""
        ci = state.ci
        if ci and "DeployRoleArn" in ci.outputs and await self._account.is_role(ci.outputs["DeployRoleArn"]):
            return ci
        return await self._account.stacks.apply(self._ci_wish(state))

    def _ci_wish(self, state: State) -> Wish:
        return ci_wish(self._account.prefix, self._templates, state, zone=self._options.hosted_zone)

    def _tag(self, compute: Stack | None) -> str:
        tag = content_tag(self._architecture(compute))
        return f"{tag}-{self._options.rebuild}" if self._options.rebuild else tag

    def _architecture(self, compute: Stack | None) -> str:
        return self._options.compute_parameter("CpuArchitecture", compute, self._templates)

    def _image_to_be(self, compute: Stack | None) -> str:
        return self._options.image or f"REGISTRY@digest-of-{self._tag(compute)}"

    def _image_sentence(self, compute: Stack | None) -> str:
        if self._options.image:
            return f"use the image {self._options.image}"
        architecture = self._architecture(compute)
        scan = ", and stop if its scan finds a critical flaw" if self._options.is_scanned else ""
        here = f"; to build it, this machine lacks {missing}" if (missing := lacking(architecture)) else ""
        tag = f"{self._tag(compute)} for {PLATFORMS[architecture]}"
        return f"build the image {tag} and push it, unless the registry has it{scan}{here}"

    async def _image(self, ci: Stack, compute: Stack | None) -> str:
        registry = Registry(uri=ci.outputs["Registry"])
        images = Images(self._account.ecr, registry, self._tell)
        tag = self._tag(compute)
        if found := await images.newest(tag):
            tag, digest = found
            self._tell(f"The registry has {tag} already: nothing to build")
        else:
            digest = await images.push(tag, self._architecture(compute))
        if self._options.is_scanned:
            await images.check(digest)
        return f"{registry.uri}@{digest}"

    def _data_wish(self, state: State, ci: Stack | None) -> Wish:
        said: dict[str, str] = {}
        if domain := self._options.public_domain(state.compute):
            address = f"https://{domain}/"
            said = {"SignInCallbackUrls": address, "SignOutUrls": address}
        if prefix := self._options.prefix_of_sign_in(domain, state.data):
            said["SignInDomainPrefix"] = prefix
        if secret := os.environ.get(GOOGLE_SECRET):
            said["GoogleClientSecret"] = secret
        said |= self._options.data_parameters
        if origins := self._options.page_origins(state.data, state.compute):
            said["PageOrigins"] = origins
        return self._wish(f"{self._account.prefix}-data", "data.yaml", said, ci, is_new=state.data is None)

    def _compute_wish(self, compute: Stack | None, ci: Stack | None, image: str) -> Wish:
        said = {"Image": image}
        if compute is None:  # later it stays as it is: the names of adopted tables may have been given
            said["DataStackName"] = f"{self._account.prefix}-data"
        now = compute.parameters.get("Image", "") if compute else ""
        if now and now != image:
            said["PreviousImage"] = now
        if self._options.domain:
            said["DomainName"] = self._options.domain
        if self._options.hosted_zone:
            said["HostedZoneId"] = self._options.hosted_zone
        if ci and "RoleBoundaryArn" in ci.outputs:
            said["RoleBoundaryArn"] = ci.outputs["RoleBoundaryArn"]
        return self._wish(
            self._account.prefix, "compute.yaml", said | dict(self._options.parameters), ci, is_new=compute is None
        )

    def _wish(
        self, name: str, template: str, parameters: Mapping[str, str], ci: Stack | None, *, is_new: bool = False
    ) -> Wish:
        # What is new is made with the rights of whoever asks: the role may change things, and make few.
        return Wish(
            name=name,
            template=self._templates / template,
            parameters=parameters,
            role_arn=ci.outputs.get("StackRoleArn") if ci and not is_new else None,
            bucket=ci.outputs.get("TemplatesBucket") if ci else None,
        )

    async def _bring_page(self, stack: Stack) -> None:
        count = await page.upload(self._account.s3, stack.outputs["PageBucket"])
        self._tell(f"{count} files of the page are in their bucket")

    async def _test(self, compute: Stack, before: Stack | None, ci: Stack | None, template_before: str) -> None:
        """Run the smoke test; when it fails, deploy what ran before and raise ReleaseFailed all the same."""
        if await self._answers(compute, ANSWER_SECONDS if before else FIRST_ANSWER_SECONDS):
            return
        failed = compute.parameters["Image"]
        if before is None or before.parameters == compute.parameters:
            raise ReleaseFailed(f"The smoke test failed with {failed}, and there is nothing else to go back to.")
        self._tell("The smoke test failed: going back to what ran before")
        restored = await self._as_it_was(template_before, before.parameters, ci)
        works = await self._answers(restored, ANSWER_SECONDS)
        now = "answers again" if works else "does not answer either"
        raise ReleaseFailed(f"The smoke test failed with {failed}. What ran before is deployed again, and {now}.")

    async def _as_it_was(self, template: str, parameters: Mapping[str, str], ci: Stack | None) -> Stack:
        """Apply a template that the stack has had itself, whatever the checkout holds by now."""
        wish = self._wish(self._account.prefix, "compute.yaml", parameters, ci)
        return await self._account.stacks.apply(replace(wish, text=template))

    async def _answers(self, compute: Stack, within_seconds: int) -> bool:
        release = compute.parameters["Image"].rpartition("@")[2]
        command = [sys.executable, "-m", "service", "smoke", "--url", compute.outputs["Url"], "--release", release]
        command += ["--within", str(within_seconds), *(("--photo", self._options.photo) if self._options.photo else ())]
        self._tell(f"Smoke test of {compute.outputs['Url']}")
        process = await asyncio.create_subprocess_exec(*command, cwd=CHECKOUT)
        return await process.wait() == 0


def _sentence(wish: Wish, stack: Stack | None) -> str:
    parameters = " ".join(f"{name}={_shown(name, value)}" for name, value in wish.parameters.items())
    unsaid = "parameters stay as they are" if stack else "every parameter as the template has it"
    return f"{'update' if stack else 'create'} {wish.name} from deploy/{wish.template.name}: {parameters or unsaid}"


def _shown(name: str, value: str) -> str:
    return "…" if "Secret" in name else value
