"""The rights of a task: what the service does in AWS is allowed to its role, and nothing else is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import pytest
import pytest_asyncio

from deploy.cloud import environment_name
from tests.chaos.stage import chaos_stage
from tests.deploy import journey
from tests.deploy.aws_calls import ACCOUNT, PARTITION, REGION, Right, UnknownCall, rights_for
from tests.deploy.intrinsics import TEMPLATES, Intrinsics, exports_of, read_template
from tests.faults.messages import Request
from tests.webhooks.endpoint import Endpoint

pytestmark = pytest.mark.timeout(120)

NO_RIGHTS_NEEDED: Final = ("AWSCognitoIdentityProviderService.", "/.well-known/jwks.json")
"""Signing in without a password, which is there in the embedded mode alone, and the public keys of the pool."""
NAMES: Final = {"AWS::Partition": PARTITION, "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "Cluster": "darkroom"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[set[Right], Mapping[str, str]]]:
    """Make the journey once; give the rights that it needed, and the environment that names what it was made in."""
    needed: set[Right] = set()

    def note(request: Request) -> bool:
        if not is_free(request):
            needed.update(rights_for(request))
        return False

    receiver = Endpoint()
    async with chaos_stage(tmp_path_factory.mktemp("policies")) as stage, receiver.server:
        stage.aws.when(note)
        await journey.make(stage, receiver)
        yield needed, stage.environment


def is_free(request: Request) -> bool:
    """Tell whether anybody may ask for this."""
    target = request.headers.get("x-amz-target", "")
    return target.startswith(NO_RIGHTS_NEEDED[0]) or request.path.endswith(NO_RIGHTS_NEEDED[1])


def granted(environment: Mapping[str, str], **parameters: str) -> dict[str, list[Right]]:
    """Return what the role of the tasks may do, by the names of its statements."""
    template = read_template(TEMPLATES / "compute.yaml")
    exports = exports_of(
        read_template(TEMPLATES / "data.yaml"), lambda output: environment.get(environment_name(output), "")
    )
    role = template["Resources"]["TaskRole"]["Properties"]
    policies = Intrinsics(template=template, names=NAMES | parameters, exports=exports).resolve(role["Policies"])
    statements = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    assert {"Allow"} == {statement["Effect"] for statement in statements}
    return {statement["Sid"]: list(rights_of(statement)) for statement in statements}


def rights_of(statement: Mapping[str, Any]) -> Iterator[Right]:
    """Yield each of a statement's actions on each of its resources."""
    for action in as_list(statement["Action"]):
        for resource in as_list(statement["Resource"]):
            yield Right(action=action, resource=resource)


def as_list(value: Any) -> list[str]:
    """Return one or several as several."""
    return value if isinstance(value, list) else [value]


def allows(right: Right, need: Right) -> bool:
    """Tell whether what a policy says covers what a call needs."""
    return fnmatchcase(need.action, right.action) and fnmatchcase(need.resource, right.resource)


def missing(needed: Iterable[Right], rights: Mapping[str, list[Right]]) -> list[str]:
    """Name what was done and is not allowed."""
    allowed = [right for some in rights.values() for right in some]
    return [f"not allowed: {need}" for need in sorted(needed) if not any(allows(right, need) for right in allowed)]


def superfluous(needed: Iterable[Right], rights: Mapping[str, list[Right]]) -> list[str]:
    """Name what is allowed and was not done."""
    needs = list(needed)
    return [
        f"never used: {right} ({sid})"
        for sid, some in rights.items()
        for right in some
        if not any(allows(right, need) for need in needs)
    ]


def test_all_that_the_service_does_is_allowed_to_its_tasks(made: tuple[set[Right], Mapping[str, str]]) -> None:
    """Each call of a journey through all of it, and each signed link that was followed, is covered by the role's policies."""
    needed, environment = made

    assert [] == missing(needed, granted(environment))


def test_its_tasks_may_do_nothing_that_it_does_not_do(made: tuple[set[Right], Mapping[str, str]]) -> None:
    """Each action of each statement was needed on each of its resources."""
    needed, environment = made

    assert [] == superfluous(needed, granted(environment))


def test_scale_in_protection_is_allowed_where_it_is_asked_for_alone(made: tuple[set[Right], Mapping[str, str]]) -> None:
    """ECS is asked over its agent, so the journey does not show it."""
    _, environment = made
    without, with_it = granted(environment), granted(environment, ScaleInProtection="true")
    own_tasks = f"arn:{PARTITION}:ecs:{REGION}:{ACCOUNT}:task/darkroom/*"

    assert {"ProtectItself": [Right(action="ecs:UpdateTaskProtection", resource=own_tasks)]} == {
        sid: rights for sid, rights in with_it.items() if sid not in without
    }


def test_a_missing_and_a_superfluous_right_are_named() -> None:
    """A table that is forgotten, and a prefix that nobody writes to."""
    rights = {"Photos": [Right(action="s3:PutObject", resource="arn:aws:s3:::photos/uploads/*")]}
    need = Right(action="s3:PutObject", resource="arn:aws:s3:::photos/reports/1.jpg")

    assert ["not allowed: s3:PutObject on arn:aws:s3:::photos/reports/1.jpg"] == missing([need], rights)
    assert ["never used: s3:PutObject on arn:aws:s3:::photos/uploads/* (Photos)"] == superfluous([need], rights)


def test_a_call_that_nobody_has_thought_of_is_refused() -> None:
    """Whoever has the service call another API learns here that its role needs a right for it."""
    request = Request(method="POST", path="/", headers={"x-amz-target": "SNS.Publish"}, body=b"{}", wire=(b"", b""))

    with pytest.raises(UnknownCall, match="SNS Publish"):
        list(rights_for(request))
