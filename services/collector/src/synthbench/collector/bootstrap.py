"""The only wiring of the collector."""

import asyncio

from starlette.types import ASGIApp

from synthbench.chassis.batches import BatchConsumer
from synthbench.chassis.consumer import Consumer
from synthbench.chassis.process import Chassis
from synthbench.collector.adapters.events import EventStore
from synthbench.collector.adapters.finalising import FinalisingStore
from synthbench.collector.adapters.steps import StepStore
from synthbench.collector.archive import LOOK_SECONDS, CatalogueArchive
from synthbench.collector.finaliser import Finaliser, IncompleteAttempts
from synthbench.collector.handlers import CollectorHandlers
from synthbench.collector.retention import Retention
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.registry import Service, durable
from synthbench.storage.api_calls import ApiCalls
from synthbench.storage.artifacts import open_store
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox

SCHEMA = "catalogue"


async def bootstrap(chassis: Chassis) -> None:
    """Open the database and the store, start the consumers and what runs in the background."""
    settings = chassis.settings
    assert isinstance(settings, CollectorSettings)
    database = Database(settings.postgres_dsn, SCHEMA)
    await database.open()
    chassis.on_drain(database.close)
    store = open_store(settings.artifacts_url)
    chassis.bus.use_payload_store(store)
    outbox = Outbox(chassis, database)
    incomplete = IncompleteAttempts()
    handlers = CollectorHandlers(EventStore(database, outbox), StepStore(database), incomplete)
    finaliser = Finaliser(settings, FinalisingStore(database, outbox), store, incomplete, chassis.log)
    archive = CatalogueArchive(database, store, settings.archive_seconds, chassis.log)
    retention = Retention(settings, database, chassis.log)

    def api() -> ASGIApp:
        from synthbench.collector.api import build_api  # noqa: PLC0415 - FastAPI is imported when somebody asks

        return build_api(settings, database, store, archive)

    if chassis.health.access is not None:
        chassis.health.access.account = ApiCalls(database)
    await outbox.start()
    me = Service.COLLECTOR
    BatchConsumer(chassis, durable(me, "step.recorded"), handlers.on_steps, batch=settings.collector_batch).start()
    BatchConsumer(chassis, durable(me, "llm.called"), handlers.on_calls, batch=settings.collector_batch).start()
    for event, handler in (
        ("task.accepted", handlers.on_accepted),
        ("attempt.started", handlers.on_started),
        ("attempt.finished", handlers.on_finished),
        ("attempt.closed", handlers.on_closed),
        ("trajectory.scored", handlers.on_verdict),
        ("trajectory.curated", handlers.on_verdict),
    ):
        Consumer(chassis, durable(me, event), handler).start()
    chassis.health.check("postgres", database.ping)
    chassis.health.check("artifacts", store.probe)
    chassis.health.mount_lazily("/", api)
    chassis.background("finaliser", finaliser.run_once)
    chassis.background("archive", archive.flush_if_due, every=LOOK_SECONDS)
    chassis.flush(lambda seconds: asyncio.wait_for(archive.flush(), seconds))
    chassis.background("keeping", retention.run_once, every=settings.keeping_seconds)
