"""The compute template, as it comes out with the parameters that a test wants."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.deploy.intrinsics import TEMPLATES, Intrinsics, exports_of, read_template

COMPUTE: Final = read_template(TEMPLATES / "compute.yaml")
DATA: Final = read_template(TEMPLATES / "data.yaml")
DIGEST: Final = f"sha256:{'0' * 64}"
IMAGE: Final = f"111122223333.dkr.ecr.ap-northeast-2.amazonaws.com/team/darkroom@{DIGEST}"
NAMES: Final = {
    "AWS::StackName": "darkroom",
    "AWS::Region": "ap-northeast-2",
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "Image": IMAGE,
    "DomainName": "photos.example.com",
    "LoadBalancer": "arn:aws:elasticloadbalancing:ap-northeast-2:111122223333:loadbalancer/app/darkroom/0123456789abcdef",
    "SingleBus.PrimaryEndPoint.Address": "single.example.com",
    "ReplicatedBus.PrimaryEndPoint.Address": "replicated.example.com",
}


def example_of(output: str) -> str:
    """Make up what an output of the data stack may be."""
    if output.endswith("Url"):
        return f"https://sqs.ap-northeast-2.amazonaws.com/111122223333/{output}"
    return f"https://{output.lower()}.example.com" if output.startswith(("Token", "CognitoDomain")) else f"the-{output}"


def with_parameters(**parameters: str) -> Intrinsics:
    """Take the template with these parameters, and with those of NAMES."""
    unknown = {f"{key}.{name}": name for key in COMPUTE["Resources"] for name in ("Arn", "Name")}
    full = {f"{key}.{key}FullName": f"the-{key}" for key in ("LoadBalancer", "TargetGroup")}
    resources = {key: key for key in COMPUTE["Resources"]}
    names = {**resources, **unknown, **full, **NAMES, **parameters}
    return Intrinsics(template=COMPUTE, names=names, exports=exports_of(DATA, example_of))


def properties(logical_id: str, **parameters: str) -> Any:
    """Return what a resource is made with."""
    return with_parameters(**parameters).resolve(COMPUTE["Resources"][logical_id]["Properties"])


def container(**parameters: str) -> Any:
    """Return the definition of the one container."""
    [only] = properties("TaskDefinition", **parameters)["ContainerDefinitions"]
    return only


def environment(**parameters: str) -> dict[str, str]:
    """Return what the service is told."""
    return {variable["Name"]: str(variable["Value"]) for variable in container(**parameters)["Environment"]}


def dashboard() -> dict[str, Any]:
    """Return the panels by their titles."""
    body = json.loads(properties("Dashboard")["DashboardBody"])
    return {widget["properties"]["title"]: widget["properties"] for widget in body["widgets"]}
