"""The pool of workers, opened: the pipelines it knows, the models they call, and what those may cost."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

from consumers import crack_detection, diary, gemini, parking_comparison, parking_report, profile_photo
from consumers.acknowledger import Acknowledger
from consumers.attempt import Attempt, Workshop
from consumers.gate import Gate, GateConfig
from consumers.gate_state import GateMetrics
from consumers.gates import Gates
from consumers.gemini import Gemini, GeminiConfig
from consumers.heartbeat import Heartbeat
from consumers.metrics import PoolMetrics
from consumers.pipelines import Pipelines, by_name, hold_up
from consumers.pool import Pool
from consumers.spending import Spending
from jobs.secret import FixedKey, Key, open_secret
from jobs.spend_table import SpendTable
from service.ground import Ground
from service.readiness import report_gate
from service.settings import Settings

FAILURES_TO_OPEN = 16
"""More than one job can have by itself (four tries, three receives): one bad job alone must not look like an outage."""


def pipelines(settings: Settings, ground: Ground) -> Pipelines:
    """Register every kind of job that this service can do."""
    return by_name(
        profile_photo.PIPELINE,
        crack_detection.PIPELINE,
        parking_report.pipeline(ground.parking_reports, settings.similarity_threshold),
        parking_comparison.PIPELINE,
        diary.PIPELINE,
    )


async def open_pool(stack: AsyncExitStack, settings: Settings, ground: Ground) -> tuple[Pool, Spending]:
    meters, slots = PoolMetrics(ground.registry), settings.worker_slots
    meters.slots.set(slots)
    config = GeminiConfig(
        image_model=settings.model_name,
        vision_model=settings.vision_model_name,
        embedding_model=settings.embedding_model_name,
        base_url=settings.gemini_base_url,
        timeout_seconds=settings.gemini_timeout_seconds,
        connections=slots + 16,
    )
    gates = _open_gates(stack, ground, config, slots)
    spend_table = SpendTable(ground.clients.dynamodb, settings.usage_log_table)
    spending = Spending(spend_table, settings.daily_spend_limit_usd, gates.close_until, ground.registry)
    session = await stack.enter_async_context(gemini.open_session(config))
    key = await _open_key(stack, settings)
    heartbeat, acknowledger = Heartbeat(ground.table, ground.queue), Acknowledger(ground.queue)
    workshop = Workshop(
        table=ground.table,
        queue=ground.queue,
        files=ground.files,
        gemini=Gemini(session, config, key, gates, meters, spending.note),
        images=ground.images,
        bus=ground.bus,
        pipelines=pipelines(settings, ground),
        heartbeat=heartbeat,
        acknowledger=acknowledger,
        meters=meters,
        deadline_seconds=settings.job_deadline_seconds,
    )
    pool = Pool(
        ground.queue,
        lambda delivery: Attempt(workshop, delivery),
        gates,
        heartbeat,
        acknowledger,
        meters,
        slots=slots,
        hold_up=hold_up(workshop.pipelines, config, gates),
    )
    return pool, spending


def _open_gates(stack: AsyncExitStack, ground: Ground, config: GeminiConfig, slots: int) -> Gates:
    gate_config = GateConfig(most=slots, start=slots, failures_to_open=FAILURES_TO_OPEN)
    meters, tell = GateMetrics(ground.registry), partial(report_gate, ground.conditions)
    models = (config.image_model, config.vision_model, config.embedding_model)
    gates = Gates({model: Gate(model, gate_config, meters, tell) for model in dict.fromkeys(models)})
    stack.callback(gates.close)
    return gates


async def _open_key(stack: AsyncExitStack, settings: Settings) -> Key:
    if settings.gemini_api_key is not None:
        return FixedKey(settings.gemini_api_key.get_secret_value())
    return await stack.enter_async_context(open_secret(settings.aws_config(), settings.gemini_api_key_secret_arn or ""))
