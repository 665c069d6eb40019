"""`bash scripts/deploy`: registry, data and roles are really made on the emulated cloud; the stack of tasks is a small one."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.cloud import Cloud
from deploy.release import __main__ as command_line
from deploy.release import gemini_key, rollout
from deploy.release.account import Account
from deploy.release.failures import ReleaseFailed
from deploy.release.images import Images, Registry, content_tag
from deploy.release.options import Options
from deploy.release.rollout import Rollout
from deploy.release.stacks import Wish
from tests.browser.stage import running_service
from tests.conftest import CHECKOUT
from tests.deploy.conftest import NEW, OLD, TASKS, Told

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROKEN = """
Parameters: {Image: {Type: String}, Needed: {Type: String}}
Resources:
  Pool: {Type: AWS::Cognito::UserPool}
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: !GetAtt Pool.ProviderURL}}
"""


async def test_a_first_deployment_makes_registry_data_key_and_tasks(
    account: Account, templates: Path, first_time: Options, told: Told
) -> None:
    """And a second one, which says nothing, changes nothing."""
    (templates / "data.yaml").write_bytes((CHECKOUT / "deploy" / "data.yaml").read_bytes())
    await Rollout(account, first_time, told, templates).run()
    state = await account.state()
    assert state.ci
    assert state.data
    assert state.compute
    key = await account.secrets.get_secret_value(SecretId=state.data.outputs["GeminiApiKeySecretArn"])
    told.clear()
    await Rollout(account, Options(image=OLD, is_scanned=False, is_tested=False), told, templates).run()

    assert "a-key" == key["SecretString"]
    assert state.ci.outputs["Registry"].startswith(f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{account.prefix}-ci-")
    assert (f"https://{account.prefix}.example.com", f"{account.prefix}-example-com") == (
        state.data.parameters["PageOrigins"],
        state.data.parameters["SignInDomainPrefix"],
    )
    assert (OLD, f"{account.prefix}-data", "Z1") == tuple(
        state.compute.parameters[name] for name in ("Image", "DataStackName", "HostedZoneId")
    )
    assert [f"{account.prefix}{stack}: nothing to change" for stack in ("-ci", "-data", "")] == [
        line for line in told if "nothing" in line
    ]
    assert (await account.iam.list_roles(PathPrefix="/aws-service-role/ecs.amazonaws.com/"))["Roles"]


async def test_what_answers_wrongly_is_taken_back(
    cloud: Cloud, account: Account, templates: Path, first_time: Options, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service goes on naming the old release, so the smoke test fails; image and parameters are then the old ones."""
    own = {"EMBEDDED": "true", "METRICS_PORT": "off", "LOG_LEVEL": "ERROR", "GEMINI_API_KEY": "none"}
    own |= {"STOP_TIMEOUT_SECONDS": "10", "RELEASE": OLD.rpartition("@")[2]}
    async with running_service(cloud.environment | own) as service:
        tested = replace(first_time, is_tested=True, parameters={"Address": service.url})
        assert service.url == await Rollout(account, tested, told, templates).run()
        (templates / "compute.yaml").write_text(f"{TASKS}  Newer: {{Value: template}}\n")
        worse = replace(tested, image=NEW, parameters={"Delay": "5"})
        monkeypatch.setattr(rollout, "ANSWER_SECONDS", 1)
        with pytest.raises(ReleaseFailed) as failure:
            await Rollout(account, worse, told, templates).run()
    compute = (await account.state()).compute

    assert compute
    assert f"The smoke test failed with {NEW}. What ran before is deployed again, and answers again." == str(
        failure.value
    )
    assert "Newer" not in compute.outputs
    assert (OLD, "none", "0") == tuple(compute.parameters[name] for name in ("Image", "PreviousImage", "Delay"))


async def test_rollback_goes_to_the_image_before_and_back(
    account: Account, templates: Path, first_time: Options, told: Told
) -> None:
    """The stack itself remembers it; before a second deployment there is nowhere to go."""
    with pytest.raises(ReleaseFailed, match="nothing was deployed yet"):
        await Rollout(account, first_time, told, templates).roll_back()
    await Rollout(account, first_time, told, templates).run()
    with pytest.raises(ReleaseFailed, match="knows no image before"):
        await Rollout(account, first_time, told, templates).roll_back()
    await Rollout(account, replace(first_time, image=NEW), told, templates).run()
    images_then = []
    for _ in range(2):
        await Rollout(account, Options(is_tested=False), told, templates).roll_back()
        compute = (await account.state()).compute
        images_then.append(compute and (compute.parameters["Image"], compute.parameters["PreviousImage"]))

    assert [(OLD, NEW), (NEW, OLD)] == images_then


async def test_what_is_missing_is_said_before_anything_is_made(
    account: Account, templates: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name, a zone, a key, a parameter that is misspelt: each has its sentence."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    half = Options(domain=f"{account.prefix}.example.com", image=OLD, is_scanned=False, is_tested=False)
    with pytest.raises(ReleaseFailed, match="needs --domain"):
        await Rollout(account, Options(), told, templates).run()
    with pytest.raises(ReleaseFailed, match="needs --hosted-zone"):
        await Rollout(account, half, told, templates).run()
    with pytest.raises(ReleaseFailed, match="There is no Gemini key yet"):
        await Rollout(account, replace(half, hosted_zone="Z1"), told, templates).run()
    misspelt = replace(half, hosted_zone="Z1", parameters={"MaxTask": "2"})
    with pytest.raises(ReleaseFailed, match="has no parameter MaxTask"):
        await Rollout(account, misspelt, told, templates).run()
    state = await account.state()

    assert (None, None, None) == (state.ci, state.data, state.compute)


async def test_the_key_is_asked_for_once(
    account: Account, templates: Path, first_time: Options, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sits at a terminal types it the first time; afterwards the secret has it, and another one replaces it."""
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "typed"

    monkeypatch.delenv(gemini_key.VARIABLE)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", answer)
    await Rollout(account, first_time, told, templates).run()
    await Rollout(account, first_time, told, templates).run()
    data = (await account.state()).data
    assert data
    secret = data.outputs["GeminiApiKeySecretArn"]
    typed = (await account.secrets.get_secret_value(SecretId=secret))["SecretString"]
    monkeypatch.setenv(gemini_key.VARIABLE, "renewed")
    await Rollout(account, first_time, told, templates).run()

    assert ("typed", 1) == (typed, len(asked))
    assert "renewed" == (await account.secrets.get_secret_value(SecretId=secret))["SecretString"]
    assert "" == await gemini_key.new_key(account.secrets, secret)


async def test_a_dry_run_changes_nothing(account: Account, templates: Path, first_time: Options, told: Told) -> None:
    """It says each step with its parameters, and no secret."""
    plan = await Rollout(
        account, replace(first_time, image="", data_parameters={"GoogleClientSecret": "hidden"}), told, templates
    ).plan()
    state = await account.state()

    assert (None, None, None) == (state.ci, state.data, state.compute)
    assert ["put", "create", "build", "create", "make", "create"] == [step.split()[0] for step in plan]
    assert "hidden" not in "".join(plan)
    assert "a-key" not in "".join(plan)


async def test_the_command_line_tells_where_it_is_and_what_it_would_do(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    """The account comes first, so that a wrong one is seen."""
    arguments = ["--prefix", account.prefix, "--domain=photos.example.com", "--hosted-zone=Z1", "--dry-run"]
    await command_line.run(command_line.parse_arguments(arguments))
    first, *steps = capsys.readouterr().out.splitlines()

    with pytest.raises(ReleaseFailed, match=r"data\.yaml has no parameter Cpu"):
        await command_line.run(command_line.parse_arguments([*arguments, "--data-parameter=Cpu=512"]))

    assert first.endswith("AWS account 000000000000, region us-east-1, as root")
    assert all(step.startswith("Would ") for step in steps)
    assert any(f"create {account.prefix} from deploy/compute.yaml: Image=REGISTRY@digest-of-" in step for step in steps)


async def test_mistakes_in_parameters_are_told_by_name(account: Account, tmp_path: Path) -> None:
    """CloudFormation is not even asked."""
    (tmp_path / "broken.yaml").write_text(BROKEN)
    wish = Wish(name=f"{account.prefix}-broken", template=tmp_path / "broken.yaml", parameters={"Imag": "x"})
    chosen = replace(wish, text="Parameters: {Days: {Type: Number, AllowedValues: [1, 3]}}", parameters={"Days": "2"})
    with pytest.raises(ReleaseFailed, match="has no parameter Imag"):
        await account.stacks.apply(wish)
    with pytest.raises(ReleaseFailed, match=r"Days cannot be 2; broken.yaml takes 1, 3\."):
        await account.stacks.apply(chosen)
    with pytest.raises(ReleaseFailed, match="needs Needed"):
        await account.stacks.apply(replace(wish, parameters={"Image": "x"}))


async def test_a_failed_first_attempt_is_told_and_makes_way(account: Account, tmp_path: Path, told: Told) -> None:
    """What failed stands in the message; the next attempt removes what is left."""
    (tmp_path / "broken.yaml").write_text(BROKEN)
    wish = Wish(
        name=f"{account.prefix}-broken", template=tmp_path / "broken.yaml", parameters={"Image": "x", "Needed": "y"}
    )
    with pytest.raises(ReleaseFailed, match="ended as ROLLBACK_COMPLETE:\n  Queue: "):
        await account.stacks.apply(wish)
    assert await account.stacks.present(wish.name) is None
    (tmp_path / "broken.yaml").write_text(BROKEN.replace("!GetAtt Pool.ProviderURL", "mended"))
    mended = await account.stacks.apply(wish)

    assert "CREATE_COMPLETE" == mended.status
    assert f"{wish.name}: removing what is left of a failed first attempt" in told


async def test_a_large_template_goes_by_the_bucket(
    account: Account, templates: Path, first_time: Options, told: Told
) -> None:
    """CloudFormation takes no more than 51,200 bytes otherwise, and the real one has more."""
    (templates / "compute.yaml").write_text(TASKS + "# filled\n" * 6000)
    await Rollout(account, first_time, told, templates).run()
    with pytest.raises(ReleaseFailed, match="no bucket"):
        await account.stacks.apply(
            Wish(name=account.prefix, template=templates / "compute.yaml", parameters={"Delay": "1"})
        )

    assert (await account.state()).compute


async def test_the_page_goes_into_the_bucket_of_cloudfront(
    account: Account, templates: Path, first_time: Options, told: Told
) -> None:
    """Its modules do, under the addresses that they have at the service; its pages stay there."""
    wish = Wish(
        name=f"{account.prefix}-page",
        template=CHECKOUT / "deploy" / "page.yaml",
        parameters={
            "DomainName": "photos.example.com",
            "OriginDomainName": "origin.photos.example.com",
            "CertificateArn": "arn:aws:acm:us-east-1:000000000000:certificate/one",
        },
    )
    bucket = (await account.stacks.apply(wish)).outputs["PageBucket"]
    await Rollout(account, first_time, told, templates).run()
    module = await account.s3.get_object(Bucket=bucket, Key="page/app.js")
    found = await account.s3.list_objects_v2(Bucket=bucket)
    keys = [item["Key"] for item in found["Contents"]]

    assert ("text/javascript", "no-cache") == (module["ContentType"], module["CacheControl"])
    assert f"{len(keys)} files of the page are in their bucket" in told
    assert [] == [key for key in keys if key.endswith(".html") or not key.startswith("page/")]


async def test_an_image_is_built_once_and_no_password_is_shown(
    account: Account, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is built for the tasks' processor and signed in for by stdin; what the registry has is not built again."""
    engine = tmp_path / "docker"
    engine.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/ran\n[ "$1" != login ] || cat >> {tmp_path}/password\n')
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    await account.ecr.create_repository(repositoryName=account.prefix)
    pushing = Images(account.ecr, Registry(uri=f"registry.example/{account.prefix}"), told)
    with pytest.raises(ReleaseFailed, match="but the registry does not have it"):
        await pushing.push("a-tag", "ARM64")
    manifest = {"schemaVersion": 2, "config": {"digest": f"sha256:{'a' * 64}"}, "layers": []}
    await account.ecr.put_image(
        repositoryName=account.prefix, imageManifest=json.dumps(manifest), imageTag=content_tag("ARM64")
    )
    built, login, push = (tmp_path / "ran").read_text().splitlines()

    assert (
        f"build --platform linux/arm64 --tag registry.example/{account.prefix}:a-tag --pull --provenance=false" in built
    )
    assert "login --username AWS --password-stdin registry.example" == login
    assert f"push registry.example/{account.prefix}:a-tag" == push
    assert (tmp_path / "password").read_text()
    assert (await pushing.digest_of(content_tag("ARM64")) or "").startswith("sha256:")
    assert await pushing.digest_of(content_tag("X86_64")) is None
