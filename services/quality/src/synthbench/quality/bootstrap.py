"""The only wiring of quality."""

from synthbench.chassis.events import EventSubscribers
from synthbench.chassis.outbox import Outbox
from synthbench.chassis.process import Chassis
from synthbench.quality.domain.checks import load_checks
from synthbench.quality.domain.policy import Policy
from synthbench.quality.handlers import Handlers
from synthbench.quality.settings import QualitySettings
from synthbench.storage.artifacts import open_store
from synthbench.storage.database import Database

SCHEMA = "quality"


async def bootstrap(chassis: Chassis) -> None:
    """Put quality together."""
    settings = chassis.settings
    assert isinstance(settings, QualitySettings)
    database = Database(settings.postgres_dsn, SCHEMA)
    await database.open()
    chassis.on_drain(database.close)
    store = open_store(settings.artifacts_url)
    chassis.bus.use_payload_store(store)
    outbox = Outbox(chassis, database)
    handlers = Handlers(
        database,
        store,
        outbox,
        load_checks(),
        Policy(accept_aggregate=settings.accept_aggregate),
        max_verifications=settings.max_verifications,
        pools=settings.declared_pools,
    )
    subscribers = EventSubscribers(chassis)
    subscribers.on("trajectory.done", handlers.on_done)
    subscribers.on("verification.finished", handlers.on_verified)
    await outbox.start()
    await subscribers.start()
    chassis.health.check("postgres", database.ping)
