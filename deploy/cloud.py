"""The embedded cloud: the AWS emulator and the Gemini simulator as children of this process, data.yaml applied.

`python -m deploy.cloud` runs it alone, for any number of service processes beside it.
"""

import argparse
import asyncio
import os
import re
import secrets
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from deploy.children import Child, ChildFailed
from deploy.emulator_environment import CHECKOUT, EmulatorUnavailable, emulator_python
from deploy.provision import ProvisioningFailed, provision

REGION: Final = "us-east-1"
READY_SECONDS: Final = 30.0
# What a child may see of our environment: no keys, no proxies, no PYTHON* settings.
INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")


class CloudFailed(Exception):
    """The embedded cloud cannot start; the message is one line for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudOptions:
    """How the embedded cloud behaves; `port` is the emulator's, 0 for any free one, `more_services` what it emulates beside."""

    data_dir: Path
    page_origins: tuple[str, ...]
    gemini_latency_seconds: float = 2.0
    gemini_requests_per_minute: int | None = None
    gemini_error_rate: float = 0
    real_gemini: bool = False
    token_seconds: int = 3600
    visibility_timeout_seconds: int = 30
    port: int = 0
    more_services: tuple[str, ...] = ()


class Cloud:
    """A running embedded cloud: what a service needs to know of it, and when it breaks."""

    def __init__(self, environment: dict[str, str], children: tuple[Child, ...]) -> None:
        self.environment = environment
        self._children = children

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the children by name."""
        return {child.name: child.pid for child in self._children}

    async def broken(self) -> str:
        """Wait until a child ends that nobody stopped; return its name."""
        watches = {asyncio.create_task(child.exited(), name=child.name): child for child in self._children}
        try:
            done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            return watches[done.pop()].name
        finally:
            for watch in watches:
                watch.cancel()


class BootingCloud:
    """Children that have been started; whoever has something to import does it before `ready`."""

    def __init__(self, options: CloudOptions, keys: dict[str, str], emulator: Child, simulator: Child | None) -> None:
        self._options = options
        self._keys = keys
        self._emulator = emulator
        self._simulator = simulator

    async def ready(self) -> Cloud:
        """Apply the template as soon as the emulator answers; raise CloudFailed with one line for a person."""
        try:
            environment = await self._aws()
            environment |= await self._gemini()
        except (ChildFailed, ProvisioningFailed) as error:
            raise CloudFailed(str(error)) from error
        return Cloud(environment, tuple(child for child in (self._emulator, self._simulator) if child))

    async def _aws(self) -> dict[str, str]:
        port = (await self._emulator.ready(READY_SECONDS))["port"]
        connection = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": REGION, **self._keys}
        outputs = await provision(connection, self._parameters())
        environment = connection | {environment_name(output): value for output, value in outputs.items()}
        # The issuer is AWS's own name for the pool, also here; only the keys are read from this machine.
        pool = environment["COGNITO_USER_POOL_ID"]
        return environment | {"TOKEN_JWKS_URL": f"{connection['AWS_ENDPOINT_URL']}/{pool}/.well-known/jwks.json"}

    def _parameters(self) -> dict[str, str]:
        return {
            "PageOrigins": ",".join(self._options.page_origins),
            "VisibilityTimeoutSeconds": str(self._options.visibility_timeout_seconds),
            "TokenSeconds": str(self._options.token_seconds),
            "PasswordSignIn": "true",
        }

    async def _gemini(self) -> dict[str, str]:
        if self._simulator is None:
            return {}
        port = (await self._simulator.ready(READY_SECONDS))["port"]
        return {"GEMINI_BASE_URL": f"http://127.0.0.1:{port}", "GEMINI_API_KEY": "simulated"}


def environment_name(output: str) -> str:
    """Turn an output's name into its variable's: UsersTable -> USERS_TABLE."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", output).upper()


@asynccontextmanager
async def booting_cloud(options: CloudOptions) -> AsyncIterator[BootingCloud]:
    """Start the children and hand over at once; stop them on the way out. Call on the main thread.

    The first run installs the emulator. Raises CloudFailed with one line for a person.
    """
    keys = {
        "AWS_ACCESS_KEY_ID": f"DARKROOM{secrets.token_hex(8).upper()}",
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
    }
    data_dir = options.data_dir.resolve()
    async with AsyncExitStack() as stack:
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            python = await asyncio.to_thread(emulator_python)
            emulator = await _start(stack, "AWS emulator", _emulator_command(python, options), keys, data_dir)
            simulator = None
            if not options.real_gemini:
                simulator = await _start(stack, "Gemini simulator", _simulator_command(options), {}, data_dir)
        except (EmulatorUnavailable, OSError) as error:
            raise CloudFailed(str(error)) from error
        yield BootingCloud(options, keys, emulator, simulator)


async def _start(stack: AsyncExitStack, name: str, command: list[str], extra: dict[str, str], data_dir: Path) -> Child:
    inherited = {variable: os.environ[variable] for variable in INHERITED if variable in os.environ}
    log = data_dir / "logs" / f"{name.replace(' ', '-').lower()}.log"
    child = await Child.start(name, command, environment=inherited | extra, log=log, directory=CHECKOUT)
    stack.push_async_callback(child.stop)
    return child


def _emulator_command(python: Path, options: CloudOptions) -> list[str]:
    more = [f"--origin={origin}" for origin in options.page_origins]
    more += [f"--service={service}" for service in options.more_services]
    folder = options.data_dir.resolve() / "emulator"
    # -I: neither deploy/ nor PYTHONPATH may put a module of ours in the emulator's way.
    return [str(python), "-I", "deploy/emulator.py", f"--data-dir={folder}", f"--port={options.port}", *more]


def _simulator_command(options: CloudOptions) -> list[str]:
    command = [sys.executable, "-m", "deploy.gemini_simulator", "--port=0"]
    command += [f"--latency={options.gemini_latency_seconds}", f"--error-rate={options.gemini_error_rate}"]
    if options.gemini_requests_per_minute is not None:
        command.append(f"--requests-per-minute={options.gemini_requests_per_minute}")
    return command


@asynccontextmanager
async def embedded_cloud(options: CloudOptions) -> AsyncIterator[Cloud]:
    """Run the embedded cloud for the length of the block. Raises CloudFailed with one line for a person."""
    async with booting_cloud(options) as booting:
        yield await booting.ready()


def parse_arguments() -> tuple[CloudOptions, Path | None]:
    """Read the command line of `python -m deploy.cloud`."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.cloud",
        description="Run the emulated AWS and the Gemini simulator until Ctrl-C.",
        epilog="Load what it prints into each service process: the file of --env-file is one to `source`.",
    )
    parser.add_argument("--data-dir", type=Path, default=Path(".darkroom"), help="where state is kept (%(default)s)")
    parser.add_argument("--env-file", type=Path, help="write the environment there instead of printing it")
    parser.add_argument("--port", type=int, default=0, help="the AWS emulator's port; 0: any free one")
    parser.add_argument("--page-origin", action="append", help="origin of a page that uploads; may be repeated")
    parser.add_argument("--gemini-latency", type=float, default=2.0, metavar="SECONDS", help="default %(default)s")
    parser.add_argument("--gemini-requests-per-minute", type=int, metavar="N", help="default: no limit")
    parser.add_argument("--gemini-error-rate", type=float, default=0.0, metavar="FRACTION", help="default %(default)s")
    parser.add_argument("--real-gemini", action="store_true", help="start no simulator")
    parser.add_argument("--token-seconds", type=int, default=3600, help="life of id and access tokens (%(default)s)")
    parser.add_argument("--visibility-timeout", type=int, default=30, metavar="SECONDS", help="default %(default)s")
    arguments = parser.parse_args()
    options = CloudOptions(
        data_dir=arguments.data_dir,
        page_origins=tuple(arguments.page_origin or ("http://127.0.0.1:8080", "http://localhost:8080")),
        gemini_latency_seconds=arguments.gemini_latency,
        gemini_requests_per_minute=arguments.gemini_requests_per_minute,
        gemini_error_rate=arguments.gemini_error_rate,
        real_gemini=arguments.real_gemini,
        token_seconds=arguments.token_seconds,
        visibility_timeout_seconds=arguments.visibility_timeout,
        port=arguments.port,
    )
    return options, arguments.env_file


async def run_alone(options: CloudOptions, env_file: Path | None) -> NoReturn:
    """Run until canceled, which SIGTERM and Ctrl-C do; raise CloudFailed when a child is lost."""
    running = asyncio.current_task()
    assert running is not None  # noqa: S101 - help mypy
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    async with embedded_cloud(options) as cloud:
        publish(cloud.environment, env_file)
        lost = await cloud.broken()
        raise CloudFailed(f"The {lost} ended unexpectedly; see {options.data_dir / 'logs'}.")


def publish(environment: dict[str, str], env_file: Path | None) -> None:
    """Write the environment as export lines, for its owner only, or print it."""
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))
    if env_file is None:
        print(lines, end="", flush=True)
        return
    # Made aside and renamed: whoever waits for the file never reads half of it.
    draft = env_file.with_name(f"{env_file.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(lines)
    draft.rename(env_file)
    print(f"The embedded cloud is ready; its environment is in {env_file}.", flush=True)


def main() -> None:
    """Run the embedded cloud alone."""
    options, env_file = parse_arguments()
    try:
        asyncio.run(run_alone(options, env_file))
    except CloudFailed as error:
        sys.exit(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(0)  # that is how it is meant to end


if __name__ == "__main__":
    main()
