"""The only wiring of diversity."""

from synthbench.chassis.events import EventSubscribers
from synthbench.chassis.process import Chassis
from synthbench.contracts.events import TrajectoryScored
from synthbench.diversity.adapters.store import DiversityStore
from synthbench.diversity.handlers import DiversityHandlers
from synthbench.diversity.settings import DiversitySettings
from synthbench.storage.artifacts import open_store
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox

SCHEMA = "diversity"


async def bootstrap(chassis: Chassis) -> None:
    """Put diversity together."""
    settings = chassis.settings
    assert isinstance(settings, DiversitySettings)
    database = Database(settings.postgres_dsn, SCHEMA)
    await database.open()
    chassis.on_drain(database.close)
    artifacts = open_store(settings.artifacts_url)
    chassis.bus.use_payload_store(artifacts)
    outbox = Outbox(chassis, database)
    handlers = DiversityHandlers(settings, DiversityStore(database, outbox), artifacts)
    subscribers = EventSubscribers(chassis)
    subscribers.on(TrajectoryScored, handlers.on_scored)
    await outbox.start()
    await subscribers.start()
    chassis.health.check("postgres", database.ping)
