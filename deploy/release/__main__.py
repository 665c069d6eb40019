"""The command line of `bash scripts/deploy`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Final

from deploy.release.account import Account, open_account
from deploy.release.failures import ReleaseFailed
from deploy.release.images import ACCEPTED
from deploy.release.options import Options
from deploy.release.page import upload
from deploy.release.pipeline import Repository, admit, next_steps
from deploy.release.rollout import GOOGLE_SECRET, TEMPLATES, Rollout
from deploy.release.stacks import Wish

_DESCRIPTION: Final = """Bring Darkroom into an AWS account, or bring it up to date: registry, image, data, Gemini key, tasks, smoke
test. What is there already is left as it is, so it may be run again at any time; after the first time it needs no options."""
_EPILOG: Final = f"""The Gemini key is asked for once, or taken from GEMINI_API_KEY; the secret of Google sign-in is taken from
{GOOGLE_SECRET}. Neither has an option, for others on the machine could read it. See docs/deploy.md.

  bash scripts/deploy --domain photos.example.com --hosted-zone Z0123456789ABCDEFGHIJ
  bash scripts/deploy --parameter MaxTasks=4 --parameter EventBus=single
  bash scripts/deploy set MaxTasks=2 DailyLimit=20
  bash scripts/deploy rollback
  bash scripts/deploy pipeline --repository example/darkroom"""


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; without a command it deploys."""
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument(
        "--prefix", default="darkroom", help="how the stacks are called; one for each environment (%(default)s)"
    )
    common.add_argument("--region", help="the AWS region (default: AWS_REGION, or that of the profile)")
    parser = argparse.ArgumentParser(prog="bash scripts/deploy", description=_DESCRIPTION, allow_abbrev=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    up = commands.add_parser(
        "up",
        parents=[common],
        help="deploy; the command that is meant where none is said",
        usage="bash scripts/deploy [up] [OPTION ...]",
        description="Deploy. Every option:",
    )
    _add_up(up)
    # What most people do needs no command, so its options belong to the first help; COMMAND --help has those of the others.
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"Each has a --help of its own. This is that of `up`:\n\n{up.format_help()}\n{_EPILOG}"
    back = commands.add_parser(
        "rollback", parents=[common], help="go back to the image before", description="Go back to the image before."
    )
    back.add_argument("--no-smoke", action="store_true", help="do not run the smoke test")
    change = commands.add_parser(
        "set",
        parents=[common],
        help="change parameters of the tasks, and nothing else",
        description="Change parameters of deploy/compute.yaml, as it was deployed: neither image nor template changes.",
    )
    change.add_argument("parameter", nargs="+", type=_pair, metavar="NAME=VALUE", help="of deploy/compute.yaml")
    change.add_argument("--no-smoke", action="store_true", help="do not run the smoke test, and never go back")
    pipeline = commands.add_parser(
        "pipeline",
        parents=[common],
        help="let GitHub Actions deploy, without keys",
        description="Let GitHub Actions deploy, without keys.",
    )
    pipeline.add_argument(
        "--repository",
        required=True,
        metavar="OWNER/NAME",
        help="who may; OWNER@ID/NAME@ID for one made since 15 July 2026",
    )
    pipeline.add_argument("--environment", default="production", help="the environment whose jobs may (%(default)s)")
    page = commands.add_parser(
        "page",
        parents=[common],
        help="put CloudFront before the service",
        description="Put CloudFront before the service.",
    )
    page.add_argument("--domain", required=True, help="the name that browsers open")
    page.add_argument("--origin", required=True, metavar="DOMAIN", help="the load balancer's own name")
    page.add_argument("--certificate", required=True, metavar="ARN", help="of the domain, in us-east-1")
    page.add_argument("--hosted-zone", default="", metavar="ID", help="the Route 53 zone of the domain")
    named = arguments and arguments[0] in (*commands.choices, "-h", "--help")
    return parser.parse_args(arguments if named else ["up", *arguments])


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--domain", default="", help="the name that browsers open; needed the first time")
    parser.add_argument(
        "--hosted-zone",
        default="",
        metavar="ID",
        help="the Route 53 zone of that name; needed the first time, or CertificateArn",
    )
    parser.add_argument(
        "--sign-in-prefix",
        default="",
        metavar="NAME",
        help="of Cognito's sign-in page, for ever, without aws or cognito in it (default: the domain with dashes)",
    )
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="of deploy/compute.yaml; may be repeated",
    )
    parser.add_argument(
        "--data-parameter",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="of deploy/data.yaml; may be repeated",
    )
    parser.add_argument("--image", default="", metavar="URI@DIGEST", help="deploy this image instead of building one")
    parser.add_argument("--rebuild", action="store_true", help="build also what was built already, on a base of today")
    parser.add_argument(
        "--no-scan", action="store_true", help=f"do not wait for the registry's scan (see deploy/{ACCEPTED.name})"
    )
    parser.add_argument("--no-smoke", action="store_true", help="do not run the smoke test, and never go back")
    parser.add_argument(
        "--photo",
        default="",
        metavar="FILE",
        help="let the smoke test do a whole job with this photo, as the user of DARKROOM_TOKEN",
    )
    parser.add_argument("--dry-run", action="store_true", help="look at the account and say what would be done")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isalnum():
        raise argparse.ArgumentTypeError(f"{text} is not of the form NAME=VALUE")
    return name, value


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        domain=arguments.domain,
        hosted_zone=arguments.hosted_zone,
        sign_in_prefix=arguments.sign_in_prefix,
        parameters=dict(arguments.parameter),
        data_parameters=dict(arguments.data_parameter),
        image=arguments.image,
        rebuild=time.strftime("%Y%m%d%H%M", time.gmtime()) if arguments.rebuild else "",
        is_scanned=not (arguments.no_scan or arguments.image),
        is_tested=not arguments.no_smoke,
        photo=arguments.photo,
    )


def tell(sentence: str) -> None:
    """Write a line of progress, with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {sentence}", flush=True)


async def run(arguments: argparse.Namespace) -> None:
    """Do what the command line says. Raises ReleaseFailed."""
    async with open_account(arguments.prefix, arguments.region, tell) as account:
        tell(f"AWS {await account.whoami()}")
        match arguments.command:
            case "pipeline":
                repository = Repository(name=arguments.repository, environment=arguments.environment)
                print(f"\n{next_steps(account, await admit(account, repository), repository)}")
            case "set":
                said = Options(parameters=dict(arguments.parameter), is_tested=not arguments.no_smoke)
                print(f"\n{await Rollout(account, said, tell).change()} runs with it.")
            case "page":
                await _page(account, arguments)
            case "rollback":
                url = await Rollout(account, Options(is_tested=not arguments.no_smoke), tell).roll_back()
                print(f"\n{url} runs the image before again.")
            case _:
                await _up(account, arguments)


async def _page(account: Account, arguments: argparse.Namespace) -> None:
    compute = await account.stacks.present(account.prefix)
    is_internal = compute is not None and compute.parameters.get("LoadBalancerScheme") == "internal"
    parameters = {
        "DomainName": arguments.domain,
        "OriginDomainName": arguments.origin,
        "LoadBalancerArn": compute.outputs["LoadBalancerArn"] if compute and is_internal else "",
        "CertificateArn": arguments.certificate,
        "HostedZoneId": arguments.hosted_zone,
    }
    wish = Wish(name=f"{account.prefix}-page", template=TEMPLATES / "page.yaml", parameters=parameters)
    stack = await account.stacks.apply(wish)
    count = await upload(account.s3, stack.outputs["PageBucket"])
    print(f"\n{count} files are in the bucket, and {arguments.domain} is {stack.outputs['DistributionDomainName']}.")


async def _up(account: Account, arguments: argparse.Namespace) -> None:
    rollout = Rollout(account, _options(arguments), tell)
    if arguments.dry_run:
        print("\n".join(f"Would {step}" for step in await rollout.plan()))
    else:
        print(f"\nDarkroom is at {await rollout.run()}")


def main() -> int:
    """Run the command line; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    try:
        asyncio.run(run(arguments))
    except ReleaseFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; what CloudFormation has begun goes on. Run it again to wait for it.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
