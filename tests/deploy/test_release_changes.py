"""`bash scripts/deploy` where something is deployed already: single parameters, images built again, names, the pipeline's roles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.release.account import Account, open_account
from deploy.release.failures import ReleaseFailed
from deploy.release.images import content_tag
from deploy.release.options import Options
from deploy.release.pipeline import Repository, admit, next_steps
from deploy.release.rollout import Rollout
from deploy.release.stacks import Wish
from tests.deploy.conftest import NEW, OLD, TASKS, Told

pytestmark = pytest.mark.asyncio(loop_scope="module")

REPOSITORY = Repository(name="example@1/darkroom@2", environment="production")
QUIETLY = Options(is_scanned=False, is_tested=False)


async def test_a_parameter_changes_without_the_checkout(
    account: Account, templates: Path, first_time: Options, told: Told
) -> None:
    """After a rollback more tasks do not bring the bad version back: template and image stay as they are."""
    more = replace(QUIETLY, parameters={"Delay": "5"})
    with pytest.raises(ReleaseFailed, match="nothing was deployed yet"):
        await Rollout(account, more, told, templates).change()
    await Rollout(account, first_time, told, templates).run()
    await Rollout(account, replace(first_time, image=NEW), told, templates).run()
    await Rollout(account, QUIETLY, told, templates).roll_back()
    (templates / "compute.yaml").write_text(f"{TASKS}  Newer: {{Value: template}}\n")
    assert "http://127.0.0.1:1" == await Rollout(account, more, told, templates).change()
    compute = (await account.state()).compute

    assert compute
    assert (OLD, NEW, "5") == tuple(compute.parameters[name] for name in ("Image", "PreviousImage", "Delay"))
    assert "Newer" not in compute.outputs


async def test_what_cannot_be_is_refused_before_anything_changes(
    account: Account, templates: Path, first_time: Options, told: Told
) -> None:
    """More tasks at least than at most, what others follow, and names that Cognito does not take or let go."""
    with pytest.raises(ReleaseFailed, match="no sign-in prefix with aws in it"):
        await Rollout(account, replace(first_time, domain="photos.laws.example"), told, templates).run()
    await Rollout(account, first_time, told, templates).run()
    refused = {
        "MinTasks is 5 and MaxTasks 1": replace(QUIETLY, parameters={"MinTasks": "5"}),
        "Image: the image or another stack must follow": replace(QUIETLY, parameters={"Image": NEW}),
    }
    for sentence, options in refused.items():
        with pytest.raises(ReleaseFailed, match=sentence):
            await Rollout(account, options, told, templates).change()
    few = replace(QUIETLY, image=OLD, parameters={"MinTasks": "5", "MaxTasks": "4"})
    with pytest.raises(ReleaseFailed, match="MinTasks is 5 and MaxTasks 4"):
        await Rollout(account, few, told, templates).run()
    with pytest.raises(ReleaseFailed, match="and stays there"):
        await Rollout(account, replace(QUIETLY, image=OLD, sign_in_prefix="other"), told, templates).run()


async def test_an_image_built_again_stays(account: Account, templates: Path, first_time: Options, told: Told) -> None:
    """The next deployment of the same files takes the newest image of them, not that with the old base."""
    await Rollout(account, first_time, told, templates).run()
    ci = (await account.state()).ci
    assert ci
    uri, tag = ci.outputs["Registry"], content_tag("ARM64")
    for name, letter in ((tag, "a"), (f"{tag}-202611210900", "b"), (f"{tag}-202611210800", "c"), ("other", "d")):
        manifest = json.dumps({"schemaVersion": 2, "config": {"digest": f"sha256:{letter * 64}"}, "layers": []})
        await account.ecr.put_image(repositoryName=uri.partition("/")[2], imageManifest=manifest, imageTag=name)
    asked = await account.ecr.describe_images(
        repositoryName=uri.partition("/")[2], imageIds=[{"imageTag": f"{tag}-202611210900"}]
    )
    await Rollout(account, QUIETLY, told, templates).run()
    compute = (await account.state()).compute

    assert compute
    assert f"{uri}@{asked['imageDetails'][0]['imageDigest']}" == compute.parameters["Image"]


async def test_the_name_that_browsers_open_is_not_that_of_the_load_balancer(
    account: Account, templates: Path, first_time: Options, told: Told
) -> None:
    """Another name of the load balancer behind CloudFront changes no callback and no origin."""
    public = replace(first_time, parameters={"PublicDomainName": "photos.example.com"})
    await Rollout(account, public, told, templates).run()
    await Rollout(account, replace(first_time, domain="origin2.example.com"), told, templates).run()
    state = await account.state()

    assert state.data
    assert state.compute
    assert "origin2.example.com" == state.compute.parameters["DomainName"]
    assert ("https://photos.example.com", "https://photos.example.com/") == tuple(
        state.data.parameters[name] for name in ("PageOrigins", "SignInCallbackUrls")
    )


async def test_origins_of_other_pages_stay(account: Account, templates: Path, first_time: Options, told: Told) -> None:
    """A data stack that names another page keeps it, at the first deployment too; whoever names others keeps the page's own."""
    other, own = "https://old-page.example.com", f"https://{account.prefix}.example.com"
    said = {"PageOrigins": other, "SignInCallbackUrls": "https://x.example/", "SignOutUrls": "https://x.example/"}
    wish = Wish(name=f"{account.prefix}-data", template=templates / "data.yaml", parameters=said)
    await account.stacks.apply(wish)
    found = []
    named = replace(QUIETLY, image=OLD, data_parameters={"PageOrigins": "https://a.example, https://b.example"})
    for options in (first_time, first_time, replace(QUIETLY, image=OLD), named):
        await Rollout(account, options, told, templates).run()
        data = (await account.state()).data
        found.append(data and data.parameters["PageOrigins"])

    assert [f"{other},{own}"] * 3 + [f"https://a.example,https://b.example,{own}"] == found


async def test_github_is_let_in_to_what_is_deployed(
    account: Account, templates: Path, first_time: Options, told: Told
) -> None:
    """The account's one provider is used; the roles reach this deployment's own things, and its tasks get their boundary."""
    with pytest.raises(ReleaseFailed, match="the first deployment comes before"):
        await admit(account, REPOSITORY)
    await Rollout(account, first_time, told, templates).run()
    provider = await account.iam.create_open_id_connect_provider(
        Url="https://token.actions.githubusercontent.com", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40]
    )
    ci = await admit(account, REPOSITORY)
    again = await admit(account, REPOSITORY)
    state = await account.state()

    assert state.data
    assert state.compute
    arn = provider["OpenIDConnectProviderArn"]
    assert arn == ci.parameters["OidcProviderArn"] == again.parameters["OidcProviderArn"]
    assert ("us-east-1_pool", "Z1", "vpc-1", "app/trial/1") == tuple(
        ci.parameters[name] for name in ("UserPoolId", "HostedZoneId", "VpcId", "LoadBalancer")
    )
    assert state.data.outputs["GeminiApiKeySecretArn"].rpartition(":")[2] == ci.parameters["GeminiApiKeySecret"]
    assert ci.outputs["RoleBoundaryArn"] == state.compute.parameters["RoleBoundaryArn"]
    assert "gh variable set DEPLOY_ROLE_ARN --repo example/darkroom --body arn:" in next_steps(account, ci, REPOSITORY)
    # CloudFormation's role changes what is there; it could not make it.
    rollout = Rollout(account, first_time, told, templates)
    assert (ci.outputs["StackRoleArn"], None) == tuple(
        rollout._data_wish(one, ci).role_arn for one in (state, replace(state, data=None))
    )


async def test_the_roles_are_renewed_by_people_alone(
    account: Account, templates: Path, first_time: Options, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed ci.yaml reaches whoever has no pipeline too; the pipeline itself may not change its own role."""
    await Rollout(account, first_time, told, templates).run()
    ci = await admit(account, REPOSITORY)
    own = (templates / "ci.yaml").read_text()
    role = ci.outputs["DeployRoleArn"].replace("iam", "sts").replace(":role/", ":assumed-role/")

    async def answer(_: web.Request) -> web.Response:
        said = f"<GetCallerIdentityResult><Arn>{role}/GitHubActions</Arn></GetCallerIdentityResult>"
        return web.Response(
            text=f"<GetCallerIdentityResponse>{said}</GetCallerIdentityResponse>", content_type="text/xml"
        )

    app = web.Application()
    app.router.add_post("/", answer)
    (templates / "ci.yaml").write_text(f"{own}  Newer:\n    Value: template\n")
    async with TestServer(app) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", str(server.make_url("")))
        async with open_account(account.prefix, None, told) as pipeline:
            acting = replace(account, sts=pipeline.sts)
            await Rollout(acting, replace(QUIETLY, image=OLD), told, templates).run()
    before = (await account.state()).ci
    await Rollout(account, replace(QUIETLY, image=OLD, hosted_zone="Z2"), told, templates).run()
    after = (await account.state()).ci

    assert before
    assert after
    assert "Newer" not in before.outputs
    assert ("template", "Z2") == (after.outputs["Newer"], after.parameters["HostedZoneId"])
