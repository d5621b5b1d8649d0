"""The only wiring of the scheduler."""

from starlette.types import ASGIApp

from synthbench.chassis.errors import SettingsError
from synthbench.chassis.events import EventSubscribers
from synthbench.chassis.process import Chassis
from synthbench.contracts.events import (
    AttemptFinished,
    AttemptStarted,
    BudgetExhausted,
    CancelRequested,
    TaskSubmitted,
    TrajectoryCurated,
)
from synthbench.contracts.rpc import (
    ANNOUNCE,
    CLAIM,
    HEARTBEAT,
    RELEASE,
    ClaimRequest,
    ExecutorAnnouncement,
    Heartbeat,
    Release,
)
from synthbench.scheduler.adapters.catalogue import TaskCatalogue
from synthbench.scheduler.adapters.overviews import Overviews
from synthbench.scheduler.adapters.parents import Parents
from synthbench.scheduler.adapters.routes import Routes
from synthbench.scheduler.adapters.store import SchedulerStore
from synthbench.scheduler.claims import Claims
from synthbench.scheduler.closing import AttemptCloser
from synthbench.scheduler.domain.planning import DeploymentPolicy
from synthbench.scheduler.feeding import Feeder
from synthbench.scheduler.handlers import SchedulerHandlers
from synthbench.scheduler.measures import Measures
from synthbench.scheduler.scaffolds import AnnouncedScaffolds
from synthbench.scheduler.settings import SchedulerSettings, names
from synthbench.storage.api_calls import ApiCalls
from synthbench.storage.artifacts import open_store
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox

SCHEMA = "scheduler"
_TICK_SECONDS = 0.5
_RECONCILE_SECONDS = 10.0
_MEASURE_SECONDS = 10.0


async def bootstrap(chassis: Chassis) -> None:
    """Put the scheduler together."""
    settings = chassis.settings
    assert isinstance(settings, SchedulerSettings)
    if settings.attempt_key_secret is None:
        raise SettingsError("SYNTHBENCH_ATTEMPT_KEY_SECRET is missing: scheduler and llm-gateway share it")
    database = Database(settings.postgres_dsn, SCHEMA)
    await database.open()
    chassis.on_drain(database.close)
    artifacts = open_store(settings.artifacts_url)
    chassis.bus.use_payload_store(artifacts)
    outbox = Outbox(chassis, database)
    store, overviews = SchedulerStore(database, outbox), Overviews(database)
    routes = Routes(settings.gateway_url, settings.attempt_key_secret)
    chassis.on_drain(routes.aclose)
    policy = DeploymentPolicy(
        settings.pool_names, names(settings.scaffolds), allow_process=settings.allow_process_engine
    )
    scaffolds = AnnouncedScaffolds(store, policy.scaffolds)
    closer, feeder = AttemptCloser(settings, chassis.log), Feeder(settings, store)
    handlers = SchedulerHandlers(
        store,
        overviews,
        TaskCatalogue(artifacts),
        Parents(artifacts, scaffolds.resumable),
        routes,
        policy,
        closer,
        feeder,
    )
    claims = Claims(settings, store, closer, feeder, settings.attempt_key_secret)

    subscribers = EventSubscribers(chassis)
    subscribers.on(TaskSubmitted, handlers.on_submitted, on_malformed=handlers.on_malformed_submission)
    subscribers.on(CancelRequested, handlers.on_cancel)
    subscribers.on(AttemptStarted, handlers.on_started)
    subscribers.on(AttemptFinished, handlers.on_finished)
    subscribers.on(TrajectoryCurated, handlers.on_curated)
    subscribers.on(BudgetExhausted, handlers.on_exhausted)

    def api() -> ASGIApp:
        from synthbench.scheduler.api import build_api  # noqa: PLC0415 - FastAPI is imported when somebody asks

        return build_api(store, overviews, calls)

    calls = ApiCalls(database)
    if chassis.health.access is not None:
        chassis.health.access.account = calls
    await outbox.start()
    await chassis.bus.respond(CLAIM, ClaimRequest, claims.claim)
    await chassis.bus.respond(HEARTBEAT, Heartbeat, claims.heartbeat)
    await chassis.bus.respond(RELEASE, Release, claims.release)
    await chassis.bus.respond(ANNOUNCE, ExecutorAnnouncement, scaffolds.announce)
    await subscribers.start()
    chassis.health.check("postgres", database.ping)
    chassis.health.mount_lazily("/", api)
    chassis.background("feeder", feeder.feed, every=_TICK_SECONDS)
    chassis.background("reconciler", feeder.reconcile, every=_RECONCILE_SECONDS)
    chassis.background("measures", Measures(overviews).sample, every=_MEASURE_SECONDS)
    chassis.background("reaper", claims.reap, every=_TICK_SECONDS)
