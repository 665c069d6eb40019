"""What a deployment is asked for, and what is said against it before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.release.failures import ReleaseFailed
from deploy.release.stacks import Stack
from deploy.templates import load_template

_RESERVED: Final = ("amazon", "aws", "cognito")
_TIED: Final = frozenset(
    {"CpuArchitecture", "DomainName", "HostedZoneId", "Image", "PreviousImage", "PublicDomainName", "RoleBoundaryArn"}
)
"""Parameters that the image or another stack follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked for; what is empty stays as it is."""

    domain: str = ""
    hosted_zone: str = ""
    sign_in_prefix: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    data_parameters: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    rebuild: str = ""
    is_scanned: bool = True
    is_tested: bool = True
    photo: str = ""

    def compute_parameter(self, name: str, compute: Stack | None, templates: Path) -> str:
        """Return what a parameter of compute.yaml will be: as said, else as it is, else the template's default."""
        declared = load_template(templates / "compute.yaml")["Parameters"].get(name, {}).get("Default", "")
        now = compute.parameters.get(name) if compute else None
        return str(self.parameters.get(name) or now or declared)

    def prefix_of_sign_in(self, domain: str, data: Stack | None) -> str:
        """Return Cognito's prefix where it is to be said: another one, or the first one."""
        return self.sign_in_prefix or (domain.replace(".", "-") if domain and data is None else "")

    def public_domain(self, compute: Stack | None) -> str:
        """Return the name that browsers open, where anything is said of names; that of the load balancer may be another."""
        if not self.domain and "PublicDomainName" not in self.parameters:
            return ""
        now: Mapping[str, str] = compute.parameters if compute else {}
        public = self.parameters.get("PublicDomainName", now.get("PublicDomainName", ""))
        return public or self.domain or now.get("DomainName", "")

    def page_origins(self, data: Stack | None, compute: Stack | None) -> str:
        """Return whose pages may use the buckets, where that is to be said: others stay, and the page itself is always one."""
        said, domain = self.data_parameters.get("PageOrigins", ""), self.public_domain(compute)
        if not (domain or said):
            return ""
        now: Mapping[str, str] = compute.parameters if compute else {}
        public = domain or now.get("PublicDomainName") or now["DomainName"]
        there = data.parameters.get("PageOrigins", "") if data else ""
        origins = [*(said or there).split(","), f"https://{public}"]
        return ",".join(dict.fromkeys(origin.strip() for origin in origins if origin.strip()))


def check(options: Options, data: Stack | None, compute: Stack | None, templates: Path) -> None:
    """Find out before anything is done what cannot become a deployment. Raises ReleaseFailed."""
    if compute is None and not options.domain:
        raise ReleaseFailed("The first deployment needs --domain, such as photos.example.com.")
    has_certificate = options.parameters.get("CertificateArn") or options.hosted_zone
    if compute is None and not has_certificate:
        raise ReleaseFailed(
            "The first deployment needs --hosted-zone, the Route 53 zone of the domain. Where the name is kept elsewhere: "
            "--parameter CertificateArn=… of a certificate in this region."
        )
    check_tasks(options, compute, templates)
    _check_sign_in(options, data, compute)


def check_tasks(options: Options, compute: Stack | None, templates: Path) -> None:
    """Raise ReleaseFailed for a smallest number of tasks above the largest, which the template's rules cannot compare."""
    least, most = (options.compute_parameter(name, compute, templates) for name in ("MinTasks", "MaxTasks"))
    if least.isdigit() and most.isdigit() and int(least) > int(most):
        raise ReleaseFailed(f"MinTasks is {least} and MaxTasks {most}: give both.")


def check_change(options: Options, compute: Stack, templates: Path) -> None:
    """Raise ReleaseFailed for what is no matter of the tasks' stack alone."""
    if tied := sorted(_TIED & set(options.parameters)):
        raise ReleaseFailed(
            f"{', '.join(tied)}: the image or another stack must follow. Use `bash scripts/deploy` with its options."
        )
    check_tasks(options, compute, templates)


def _check_sign_in(options: Options, data: Stack | None, compute: Stack | None) -> None:
    derived = options.prefix_of_sign_in(options.public_domain(compute), data)
    said = options.data_parameters.get("SignInDomainPrefix", derived)
    if word := next((word for word in _RESERVED if word in said), ""):
        raise ReleaseFailed(f"Cognito takes no sign-in prefix with {word} in it, as {said} has: give --sign-in-prefix.")
    now = data.parameters.get("SignInDomainPrefix", "") if data else ""
    if said and now and said != now and compute:
        raise ReleaseFailed(
            f"The sign-in page is at {now}, and stays there: the tasks' stack uses that name, so it cannot change."
        )
