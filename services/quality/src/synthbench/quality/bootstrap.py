"""The only wiring of quality."""

from synthbench.chassis.events import EventSubscribers
from synthbench.chassis.process import Chassis
from synthbench.contracts.events import TrajectoryDone, VerificationFinished
from synthbench.quality.adapters.installed_checks import load_checks
from synthbench.quality.adapters.store import QualityStore
from synthbench.quality.domain.policy import QualityPolicy
from synthbench.quality.handlers import QualityHandlers
from synthbench.quality.settings import QualitySettings
from synthbench.storage.artifacts import open_store
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox

SCHEMA = "quality"


async def bootstrap(chassis: Chassis) -> None:
    """Put quality together."""
    settings = chassis.settings
    assert isinstance(settings, QualitySettings)
    database = Database(settings.postgres_dsn, SCHEMA)
    await database.open()
    chassis.on_drain(database.close)
    artifacts = open_store(settings.artifacts_url)
    chassis.bus.use_payload_store(artifacts)
    outbox = Outbox(chassis, database)
    handlers = QualityHandlers(
        QualityStore(database, outbox),
        artifacts,
        load_checks(),
        QualityPolicy(accept_aggregate=settings.accept_aggregate),
        max_verifications=settings.max_verifications,
        pools=settings.declared_pools,
    )
    subscribers = EventSubscribers(chassis)
    subscribers.on(TrajectoryDone, handlers.on_done)
    subscribers.on(VerificationFinished, handlers.on_verified)
    await outbox.start()
    await subscribers.start()
    chassis.health.check("postgres", database.ping)
