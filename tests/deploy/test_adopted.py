"""The names that let the compute stack stand on existing tables."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from deploy.provision import TEMPLATE
from deploy.templates import load_template

NAMES = TEMPLATE.with_name("adopted.yaml")
DATA: dict[str, Any] = load_template(TEMPLATE)["Outputs"]
ADOPTED: dict[str, Any] = load_template(NAMES)["Outputs"]


def test_it_exports_all_that_the_data_stack_does() -> None:
    """Under the same names, so that compute.yaml takes either stack as its DataStackName."""
    assert {name: output["Export"] for name, output in DATA.items()} == {
        name: output["Export"] for name, output in ADOPTED.items()
    }


def test_what_is_not_given_is_the_data_stack_s() -> None:
    """Each name falls back to the export of its own name, but for the sign-in page, which not every data stack has."""
    found = {name: output["Value"] for name, output in ADOPTED.items()}
    sign_in_page = found.pop("CognitoDomain")

    assert {"Ref": "CognitoDomain"} == sign_in_page
    assert {name: {"ImportValue": {"Fn::Sub": f"${{DataStackName}}-{name}"}} for name in found} == {
        name: value["If"][-1] if "If" in value else value for name, value in found.items()
    }


async def test_a_stack_of_names_can_be_made_and_used(cloud_environment: Mapping[str, str]) -> None:
    """On the suite's cloud: what is given is exported, all else as the data stack has it."""
    given = {"UsersTable": "ProfilePhotoAI-Users", "CognitoUserPoolId": "ap-northeast-2_Its", "CognitoClientId": "its"}
    parameters: Any = [
        {"ParameterKey": key, "ParameterValue": value} for key, value in {"DataStackName": "darkroom", **given}.items()
    ]
    client = get_session().create_client(
        "cloudformation",
        region_name=cloud_environment["AWS_REGION"],
        endpoint_url=cloud_environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=cloud_environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=cloud_environment["AWS_SECRET_ACCESS_KEY"],
        config=AioConfig(connect_timeout=2, read_timeout=10),
    )
    async with asyncio.timeout(30), client as stacks:
        await stacks.create_stack(StackName="names", TemplateBody=NAMES.read_text(), Parameters=parameters)
        await stacks.get_waiter("stack_create_complete").wait(StackName="names", WaiterConfig={"Delay": 1})
        exports = (await stacks.list_exports())["Exports"]
        await stacks.delete_stack(StackName="names")

    exported = {one["Name"].removeprefix("names-"): one["Value"] for one in exported_by("names", exports)}
    assert given == {name: exported[name] for name in given}
    assert cloud_environment["IMAGE_JOBS_TABLE"] == exported["ImageJobsTable"]
    assert exported["TokenIssuer"].endswith("/ap-northeast-2_Its")


def exported_by(stack: str, exports: Any) -> list[Any]:
    """Return the exports of one stack."""
    return [one for one in exports if one["Name"].startswith(f"{stack}-")]
