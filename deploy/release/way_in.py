"""The stack of ci.yaml: the registry and, for a pipeline, roles that reach what the other stacks have made and no more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.release.stacks import Stack, Wish

if TYPE_CHECKING:
    from deploy.release.account import State


def ci_wish(
    prefix: str, templates: Path, state: State, *, said: Mapping[str, str] | None = None, zone: str = ""
) -> Wish:
    """Return the stack as it shall be; `zone` is a Route 53 zone that is used from now on."""
    parameters = {"Prefix": prefix, **(said or {})}
    repository = parameters.get("GitHubRepository") or (state.ci and state.ci.parameters.get("GitHubRepository"))
    if repository and state.data and state.compute:
        parameters |= _limits(state.data, state.compute) | ({"HostedZoneId": zone} if zone else {})
    return Wish(name=f"{prefix}-ci", template=templates / "ci.yaml", parameters=parameters)


def _limits(data: Stack, compute: Stack) -> dict[str, str]:
    return {
        "UserPoolId": data.outputs["CognitoUserPoolId"],
        "GeminiApiKeySecret": data.outputs["GeminiApiKeySecretArn"].rpartition(":")[2],
        "HostedZoneId": compute.parameters.get("HostedZoneId", ""),
        "VpcId": compute.outputs["VpcId"],
        "LoadBalancer": compute.outputs["LoadBalancerArn"].partition("loadbalancer/")[2],
    }
