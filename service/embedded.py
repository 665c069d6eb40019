"""The embedded mode: emulated AWS and simulated Gemini as children of this process, and the service on them."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.cloud import Cloud, CloudFailed, CloudOptions, booting_cloud
from service.commands.arguments import flags
from service.process import CannotStart, end_within, listen, read_port, read_settings, unless_stopped, url_of
from service.stopping import StopBudget

if TYPE_CHECKING:
    from service.settings import Settings

LOOPBACK = ("127.0.0.1", "localhost")
STOP_TIMEOUT_SECONDS = 20
CLOUD_SECONDS = 20
"""What the emulator and the simulator may take to end, after the service."""
LEASE_SECONDS = 30
MIN_CALL_SECONDS = 120
ANY_PORT = 0
ANONYMOUS_PIPELINES = "crack-detection,parking-report"


async def run(options: argparse.Namespace, stop: asyncio.Event) -> bool:
    """Run until ``stop``; returns False when a part died. Raises CannotStart, and Stopped before all is up."""
    host = _said(options, "host") or LOOPBACK[0]
    if host not in LOOPBACK:
        raise CannotStart(f"The embedded mode listens on this machine only (--host 127.0.0.1), not on {host}.")
    listener = listen(host, read_port("PORT", _said(options, "port"), 8080))
    metrics_listener = _listen_for_metrics(host, _said(options, "metrics_port"))
    try:
        async with booting_cloud(_cloud_options(options, listener)) as booting:
            # The heavy modules load while the emulator boots.
            booted = asyncio.gather(booting.ready(), asyncio.to_thread(importlib.import_module, "service.app"))
            cloud, app = await unless_stopped(stop, booted)
            settings = _settings(options, host, listener, cloud.environment)
            importlib.import_module("service.log").configure_logging(settings.log_level, settings.log_format)
            broken = asyncio.create_task(_stop_when_broken(cloud, stop), name="watch the cloud")
            healthy: bool = await app.serve(
                settings,
                listener,
                metrics_listener,
                stop=stop,
                on_ready=lambda: _announce(options, settings, listener),
                on_leaving=lambda: end_within(StopBudget.of(settings.stop_timeout_seconds).patience + CLOUD_SECONDS),
            )
            return not _was_broken(broken) and healthy
    except CloudFailed as error:
        raise CannotStart(str(error)) from error


def _said(options: argparse.Namespace, setting: str) -> str | None:
    """Return what the person says of a setting, before all of them can be read."""
    flag = flags(options).get(setting)
    return os.environ.get(setting.upper()) if flag is None else str(flag)


def _listen_for_metrics(host: str, said: str | None) -> socket.socket | None:
    if said == "off":
        return None
    return listen(host, read_port("METRICS_PORT", said, ANY_PORT), setting="METRICS_PORT")


async def _stop_when_broken(cloud: Cloud, stop: asyncio.Event) -> None:
    name = await cloud.broken()
    print(f"The {name} ended unexpectedly; its log is in the data folder, under logs.", file=sys.stderr)
    stop.set()


def _was_broken(watch: asyncio.Task[None]) -> bool:
    return not watch.cancel()


def _cloud_options(options: argparse.Namespace, listener: socket.socket) -> CloudOptions:
    port = listener.getsockname()[1]
    return CloudOptions(
        data_dir=options.data_dir,
        page_origins=tuple(f"http://{name}:{port}" for name in LOOPBACK),
        gemini_latency_seconds=options.gemini_latency,
        gemini_requests_per_minute=options.gemini_requests_per_minute,
        gemini_error_rate=options.gemini_error_rate,
        real_gemini=_real_gemini(),
    )


def _real_gemini() -> bool:
    return bool(os.environ.get("GEMINI_API_KEY"))


def _settings(
    options: argparse.Namespace, host: str, listener: socket.socket, environment: Mapping[str, str]
) -> Settings:
    """Take the cloud's environment for the real one, and what suits one machine where the person said nothing else."""
    told = {name.lower(): value for name, value in environment.items()}
    suitable = {
        # A held job is renewed; a lost one should go on soon.
        "lease_seconds": LEASE_SECONDS,
        "gemini_timeout_seconds": max(MIN_CALL_SECONDS, 3 * options.gemini_latency),
        "stop_timeout_seconds": STOP_TIMEOUT_SECONDS,
        "metrics_port": ANY_PORT,
        "webhook_allow_private": True,
        "anonymous_pipelines": ANONYMOUS_PIPELINES,
        "log_level": "WARNING",
    }
    defaults = {name: value for name, value in suitable.items() if not os.environ.get(name.upper())} | flags(options)
    simulated = ("aws",) if _real_gemini() else ("aws", "gemini")
    port = listener.getsockname()[1]
    return read_settings(told | defaults | {"host": host, "port": port, "embedded": True, "simulated": simulated})


def _announce(options: argparse.Namespace, settings: Settings, listener: socket.socket) -> None:
    """Print the one address, what is simulated, and where data lies."""
    if _real_gemini():
        gemini = "the real one, with your GEMINI_API_KEY: it costs money"
    else:
        gemini = f"simulated on this machine, {options.gemini_latency:g} s a picture"
    data = Path(options.data_dir).resolve()
    print(
        f"\nDarkroom is ready: {url_of(listener)}\n\n"
        f"  AWS      simulated on this machine (S3, DynamoDB, SQS, Cognito)\n"
        f"  Gemini   {gemini}\n"
        f"  Limit    {settings.daily_limit} pictures a day and user (DAILY_LIMIT)\n"
        f"  Data     {data}  (kept; delete the folder to start afresh)\n"
        f"  Stop     Ctrl-C\n",
        flush=True,
    )
