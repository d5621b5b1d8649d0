"""The only wiring of the llm-gateway."""

import asyncio
import signal
from collections.abc import Callable

from starlette.types import ASGIApp

from synthbench.chassis.consumer import Consumer
from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import SettingsError
from synthbench.chassis.health import Lazy
from synthbench.chassis.listener import Listener
from synthbench.chassis.process import Chassis
from synthbench.contracts.events import AttemptClosed
from synthbench.contracts.registry import Service, durable
from synthbench.llm_gateway.api import Gateway, refusal_of_listener
from synthbench.llm_gateway.budgets.domain.accounts import Caps
from synthbench.llm_gateway.budgets.ledger import Ledger
from synthbench.llm_gateway.budgets.reports import LedgerReports
from synthbench.llm_gateway.calls.handler import CallHandler
from synthbench.llm_gateway.calls.tries import TryRunner
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.models import PROBE_SECONDS, WATCH_SECONDS, Models
from synthbench.llm_gateway.probing import Prober
from synthbench.llm_gateway.provider_metadata import ProviderMetadataStore
from synthbench.llm_gateway.rate_limits.limiter import TICK_SECONDS, RateLimiter
from synthbench.llm_gateway.recordings.answer_numbers import AnswerNumberStore
from synthbench.llm_gateway.recordings.recorder import CallRecorder, RecordingMode
from synthbench.llm_gateway.recordings.store import RecordingStore
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.storage.artifacts import open_store
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox

SCHEMA = "ledger"
_MICRO = 1_000_000
_GATHER_SECONDS = 0.1


async def bootstrap(chassis: Chassis) -> None:
    """Assemble the gateway, and start it."""
    settings = chassis.settings
    assert isinstance(settings, GatewaySettings)
    if settings.attempt_key_secret is None:
        raise SettingsError("SYNTHBENCH_ATTEMPT_KEY_SECRET is missing: scheduler and llm-gateway share it")
    # A replica that stands still is fenced once its lease is over; by then it must not hold a lock any more.
    database = Database(settings.postgres_dsn, SCHEMA, idle_seconds=settings.ledger_lease_seconds / 2)
    await database.open()
    store = open_store(settings.artifacts_url)
    chassis.bus.use_payload_store(store)
    outbox = Outbox(chassis, database, gather_seconds=_GATHER_SECONDS)
    ledger = Ledger(chassis, database, outbox, caps(settings), lease_seconds=settings.ledger_lease_seconds)
    await ledger.start()
    limiter = RateLimiter(database, chassis.log, lambda: ledger.replicas)
    chassis.background("limits", limiter.tick, every=TICK_SECONDS)
    chassis.on_drain(limiter.close)
    chassis.on_drain(ledger.close)
    chassis.on_drain(database.close)

    models = Models(settings, store, chassis.log)
    await models.load()
    chassis.on_drain(models.aclose)
    prices = Prices(models.known)
    recordings = store if settings.recordings_url is None else open_store(settings.recordings_url)
    numbers = AnswerNumberStore(database)
    recorder = CallRecorder(RecordingMode(settings.recording), RecordingStore(recordings, chassis.log), numbers)
    metadata = ProviderMetadataStore(database)
    await metadata.forget_old()
    megabyte = 1024 * 1024
    tries = TryRunner(
        ledger,
        models,
        prices,
        recorder,
        limiter,
        metadata,
        idle_seconds=settings.upstream_idle_seconds,
        max_event=settings.max_answer_mb * megabyte,
    )
    # What is a little too large is refused by the gateway itself, without an end of the connection.
    chassis.health.limit_http(body_bytes=2 * settings.max_body_mb * megabyte, refusal=refusal_of_listener)
    calls = CallHandler(
        tries, models, prices, seconds=settings.upstream_timeout_seconds, max_tries=settings.upstream_tries
    )
    gateway = Gateway(
        settings.attempt_key_secret,
        calls,
        models,
        Prober(models, prices),
        chassis.log,
        max_body=settings.max_body_mb * megabyte,
        max_inflight=settings.max_inflight,
    )

    async def on_closed(delivery: Delivery[AttemptClosed]) -> None:
        body = delivery.event
        await ledger.close_attempt(body.rollout_id, body.attempt)
        await numbers.forget(body.rollout_id, body.attempt)

    await outbox.start()
    Consumer(chassis, durable(Service.LLM_GATEWAY, "attempt.closed"), on_closed).start()
    if recorder.mode is not RecordingMode.READ_ONLY:
        chassis.background("providers", models.probe, every=PROBE_SECONDS)
    if settings.models_file is not None:
        chassis.background("models.toml", models.watch, every=WATCH_SECONDS)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: chassis.task("models.toml again", models.reload()))
    await serve_admin(chassis, settings, lambda: make_admin_app(database, models, prices))
    chassis.health.check("postgres", database.ping)
    chassis.health.mount("/", gateway, guarded=False)  # it has keys of its own: the attempts'


def caps(settings: GatewaySettings) -> Caps:
    """The deployment's budgets in millionths of a dollar."""
    day, month = settings.day_budget_usd, settings.month_budget_usd
    return Caps(None if day is None else round(day * _MICRO), None if month is None else round(month * _MICRO))


def make_admin_app(database: Database, models: Models, prices: Prices) -> ASGIApp:
    """Make the admin app, for which FastAPI is imported: call it when the first request comes."""
    from synthbench.llm_gateway.admin import admin_app  # noqa: PLC0415 - a start does not wait for it

    return admin_app(LedgerReports(database), models, prices)


async def serve_admin(chassis: Chassis, settings: GatewaySettings, app: Callable[[], ASGIApp]) -> None:
    """Serve the admin API on a port of its own, which the models' callers need not reach."""
    assert chassis.health.access is not None
    listener = Listener(chassis.health.access.guard(Lazy(app)), setting="admin_port")
    port = await listener.serve(settings.http_host, settings.admin_port)
    chassis.log.info("admin listening", host=settings.http_host, port=port)
    chassis.on_drain(listener.close)
