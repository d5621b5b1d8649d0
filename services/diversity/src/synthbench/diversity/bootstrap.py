"""The only wiring of diversity."""

from synthbench.chassis.events import EventSubscribers
from synthbench.chassis.outbox import Outbox
from synthbench.chassis.process import Chassis
from synthbench.diversity.handlers import Handlers
from synthbench.diversity.settings import DiversitySettings
from synthbench.storage.artifacts import open_store
from synthbench.storage.database import Database

SCHEMA = "diversity"


async def bootstrap(chassis: Chassis) -> None:
    """Put diversity together."""
    settings = chassis.settings
    assert isinstance(settings, DiversitySettings)
    database = Database(settings.postgres_dsn, SCHEMA)
    await database.open()
    chassis.on_drain(database.close)
    store = open_store(settings.artifacts_url)
    chassis.bus.use_payload_store(store)
    outbox = Outbox(chassis, database)
    handlers = Handlers(settings, database, store, outbox)
    subscribers = EventSubscribers(chassis)
    subscribers.on("trajectory.scored", handlers.on_scored)
    await outbox.start()
    await subscribers.start()
    chassis.health.check("postgres", database.ping)
