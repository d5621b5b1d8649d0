"""The scheduler on a real Postgres."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from synthbench.chassis.process import Chassis
from synthbench.contracts.events import AttemptFinished
from synthbench.contracts.records import Outcome, Rollout, TaskInfo
from synthbench.contracts.registry import Service
from synthbench.contracts.trajectory import AttemptContext
from synthbench.scheduler.adapters.catalogue import TaskCatalogue
from synthbench.scheduler.adapters.overviews import Overviews
from synthbench.scheduler.adapters.parents import Parents
from synthbench.scheduler.adapters.routes import Routes
from synthbench.scheduler.adapters.store import SchedulerStore
from synthbench.scheduler.closing import AttemptCloser
from synthbench.scheduler.domain.planning import DeploymentPolicy
from synthbench.scheduler.feeding import Feeder
from synthbench.scheduler.handlers import SchedulerHandlers
from synthbench.scheduler.scaffolds import AnnouncedScaffolds
from synthbench.scheduler.settings import SchedulerSettings
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox


def report_of(rollout: Rollout, number: int, outcome: Outcome, permanent: Any = "") -> AttemptFinished:
    """Make the executor's report on an attempt that ran out of money, or that failed for good."""
    return AttemptFinished(
        **rollout.attempt_scope(number).fields,
        context=AttemptContext(synthbench_version="0.1.0", executor="one"), outcome=outcome,
        out_of_money=not permanent, permanent=permanent,
        started_at=datetime.now(UTC), finished_at=datetime.now(UTC),
    )  # fmt: skip


class SchedulerHarness:
    """The scheduler's parts on one database, with short cuts that make rollouts and end attempts."""

    def __init__(self, chassis: Chassis, database: Database, artifacts: FilesStore) -> None:
        settings = chassis.settings
        assert isinstance(settings, SchedulerSettings)
        self.database = database
        self.store = SchedulerStore(database, Outbox(chassis, database))
        self.overviews = Overviews(database)
        policy = DeploymentPolicy(("bubblewrap",), ("native",))
        scaffolds = AnnouncedScaffolds(self.store, policy.scaffolds)
        self.closer = AttemptCloser(settings, chassis.log)
        self.feeder = Feeder(settings, self.store)
        self.handlers = SchedulerHandlers(
            self.store,
            self.overviews,
            TaskCatalogue(artifacts),
            Parents(artifacts, scaffolds.resumable),
            Routes(None, None),
            policy,
            self.closer,
            self.feeder,
        )

    async def rollout(self, digest: str, state: str = "running", *, campaign: str = "c", route: str = "m") -> Rollout:
        submission = uuid4()
        rollout = Rollout(
            rollout_id=uuid4(), submission_id=submission, campaign=campaign, scaffold="native",
            task=TaskInfo(name=digest[7:9], digest=digest), route=route, pool="bubblewrap",
        )  # fmt: skip
        async with self.database.connection() as connection:
            await connection.execute(
                "insert into submissions (submission_id, campaign, body, state, max_cost_microusd) "
                "values (%s, %s, '{}', 'open', 0)", [submission, campaign])  # fmt: skip
            await connection.execute(
                "insert into rollouts (rollout_id, submission_id, campaign, body, pool, priority, state) "
                "values (%s, %s, %s, %s, 'bubblewrap', 1, %s)",
                [rollout.rollout_id, submission, campaign, Jsonb(rollout.to_dict()), state])  # fmt: skip
        return rollout

    async def attempt(
        self,
        rollout: Rollout,
        number: int,
        outcome: Outcome,
        executor: str,
        *,
        minutes: float = 0,
        released=False,
        out_of_money: bool = False,
        permanent: str = "",
        begun: bool = False,
    ) -> None:
        when = datetime.now(UTC) + timedelta(minutes=minutes)
        async with self.database.connection() as connection:
            await connection.execute(
                "insert into attempts (rollout_id, attempt, executor, lease_expires, deadline, released, started_at) "
                "values (%s, %s, %s, now() + interval '1 minute', now(), %s, case when %s then now() end)",
                [rollout.rollout_id, number, executor, released, begun])  # fmt: skip
        async with self.store.transaction() as transaction:
            locked = await transaction.rollouts.lock(rollout.rollout_id)
            assert locked is not None
            report = report_of(rollout, number, outcome, permanent) if out_of_money or permanent else None
            await self.closer.close(transaction, locked, outcome, "it broke", report)
            await transaction._connection.execute(
                "update attempts set closed_at = %s where rollout_id = %s and attempt = %s",
                [when, rollout.rollout_id, number])  # fmt: skip

    async def quarantined(self) -> list[str]:
        return [row["task_digest"] for row in await self.overviews.quarantined()]

    async def state(self, rollout_id: UUID) -> str:
        async with self.database.connection() as connection:
            row = await (
                await connection.execute("select state from rollouts where rollout_id = %s", [rollout_id])
            ).fetchone()
        assert row is not None
        return row["state"]


@pytest.fixture
async def scheduler(make_chassis, migrated, tmp_path):
    database = Database(migrated("scheduler", "synthbench.scheduler"), "scheduler")
    await database.open()
    async with make_chassis(Service.SCHEDULER, SchedulerSettings, quarantine_failures=3, max_attempts=9) as chassis:
        yield SchedulerHarness(chassis, database, FilesStore(tmp_path))
    await database.close()
