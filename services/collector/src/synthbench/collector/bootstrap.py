"""The only wiring of the collector."""

import asyncio

from starlette.types import ASGIApp

from synthbench.chassis.consumer import BatchConsumer, Consumer
from synthbench.chassis.outbox import Outbox
from synthbench.chassis.process import Chassis
from synthbench.collector.archive import LOOK_SECONDS, Archive
from synthbench.collector.finaliser import Finaliser
from synthbench.collector.handlers import Closing, Handlers
from synthbench.collector.keeping import Keeping
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.registry import Service, durable
from synthbench.storage.api_calls import ApiCalls
from synthbench.storage.artifacts import open_store
from synthbench.storage.database import Database

SCHEMA = "catalogue"


async def bootstrap(chassis: Chassis) -> None:
    """Put the collector together."""
    settings = chassis.settings
    assert isinstance(settings, CollectorSettings)
    database = Database(settings.postgres_dsn, SCHEMA)
    await database.open()
    chassis.on_drain(database.close)
    store = open_store(settings.artifacts_url)
    chassis.bus.use_payload_store(store)
    outbox = Outbox(chassis, database)
    closing = Closing()
    handlers = Handlers(database, outbox, closing)
    finaliser = Finaliser(settings, database, store, outbox, closing, chassis.log)
    archive = Archive(database, store, settings.archive_seconds, chassis.log)
    keeping = Keeping(settings, database, chassis.log)

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
        ("attempt.started", handlers.on_attempt),
        ("attempt.finished", handlers.on_attempt),
        ("attempt.closed", handlers.on_attempt),
        ("trajectory.scored", handlers.on_verdict),
        ("trajectory.curated", handlers.on_verdict),
    ):
        Consumer(chassis, durable(me, event), handler).start()
    chassis.health.check("postgres", database.ping)
    chassis.health.check("artifacts", store.probe)
    chassis.health.mount_lazily("/", api)
    chassis.background("finaliser", finaliser.look)
    chassis.background("archive", archive.look, every=LOOK_SECONDS)
    chassis.flush(lambda seconds: asyncio.wait_for(archive.flush(), seconds))
    chassis.background("keeping", keeping.look, every=settings.keeping_seconds)
