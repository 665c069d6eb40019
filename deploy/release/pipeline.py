"""What lets GitHub Actions deploy: a role for one environment of one repository, and no key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deploy.release.failures import ReleaseFailed
from deploy.release.rollout import TEMPLATES
from deploy.release.stacks import Stack, Wish
from deploy.release.way_in import ci_wish

if TYPE_CHECKING:
    from deploy.release.account import Account

_ISSUER: Final = "token.actions.githubusercontent.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Who may deploy: OWNER/NAME, or OWNER@ID/NAME@ID, and an environment of it."""

    name: str
    environment: str


async def admit(account: Account, repository: Repository) -> Stack:
    """Make or change the roles; returns the stack that has them. Raises ReleaseFailed, and botocore's errors.

    They reach what the first deployment has made, so that comes before.
    """
    state = await account.state()
    if state.data is None or state.compute is None:
        raise ReleaseFailed(
            f"Nothing is deployed as {account.prefix} yet: the first deployment comes before its pipeline."
        )
    said = {"GitHubRepository": repository.name, "GitHubEnvironment": repository.environment}
    # One that this very stack has made must stay its own.
    if state.ci is None or not state.ci.parameters.get("GitHubRepository"):
        said["OidcProviderArn"] = await _provider(account)
    ci = await account.stacks.apply(ci_wish(account.prefix, TEMPLATES, state, said=said))
    await _bound(account, ci, state.compute)
    return ci


async def _bound(account: Account, ci: Stack, compute: Stack) -> None:
    """Put the tasks' roles within the boundary, with the rights of whoever is here: CloudFormation's role can change no other."""
    boundary = ci.outputs["RoleBoundaryArn"]
    if compute.parameters.get("RoleBoundaryArn") != boundary:
        wish = Wish(
            name=account.prefix,
            template=TEMPLATES / "compute.yaml",
            text=await account.stacks.template_of(account.prefix),
            parameters={"RoleBoundaryArn": boundary},
            bucket=ci.outputs["TemplatesBucket"],
        )
        await account.stacks.apply(wish)


async def _provider(account: Account) -> str:
    """Return the provider that the account has already, for it can have only one of an address; empty where it has none."""
    found = (await account.iam.list_open_id_connect_providers())["OpenIDConnectProviderList"]
    return next((one["Arn"] for one in found if one["Arn"].endswith(f"/{_ISSUER}")), "")


def next_steps(account: Account, ci: Stack, repository: Repository) -> str:
    """Say what is left to do at GitHub's."""
    plain = "/".join(part.partition("@")[0] for part in repository.name.split("/"))
    commands = [
        f"gh api --method PUT repos/{plain}/environments/{repository.environment} "
        "-F 'deployment_branch_policy[protected_branches]=true' -F 'deployment_branch_policy[custom_branch_policies]=false'",
        f"gh variable set DEPLOY_ROLE_ARN --repo {plain} --body {ci.outputs['DeployRoleArn']}",
        f"gh variable set AWS_REGION --repo {plain} --body {account.region}",
        f"gh variable set DEPLOY_PREFIX --repo {plain} --body {account.prefix}",
    ]
    return "Left to do, at GitHub's (only protected branches may deploy then):\n  " + "\n  ".join(commands)
