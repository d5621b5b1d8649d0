"""The scheduler on a real Postgres."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from synthbench.chassis.outbox import Outbox
from synthbench.contracts.events import AttemptFinished
from synthbench.contracts.records import Outcome, Rollout, TaskInfo
from synthbench.contracts.registry import Service
from synthbench.contracts.trajectory import AttemptContext
from synthbench.scheduler.adapters.catalogue import TaskCatalogue
from synthbench.scheduler.adapters.parents import Parents
from synthbench.scheduler.adapters.store import SchedulerStore
from synthbench.scheduler.domain.planning import Policy
from synthbench.scheduler.handlers import Handlers
from synthbench.scheduler.scaffolds import AnnouncedScaffolds
from synthbench.scheduler.settings import SchedulerSettings
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database


def report_of(rollout: Rollout, number: int, outcome: Outcome, permanent: Any = "") -> AttemptFinished:
    """An executor's, of an attempt that ran out of money, or that failed for good."""
    return AttemptFinished(
        submission_id=rollout.submission_id, campaign=rollout.campaign, rollout_id=rollout.rollout_id, attempt=number,
        context=AttemptContext(synthbench_version="0.1.0", executor="one"), outcome=outcome,
        out_of_money=not permanent, permanent=permanent,
        started_at=datetime.now(UTC), finished_at=datetime.now(UTC),
    )  # fmt: skip


class Desk:
    """The scheduler's handlers, with short cuts to what attempts came to."""

    def __init__(self, store: SchedulerStore, handlers: Handlers) -> None:
        self.store = store
        self.handlers = handlers

    async def rollout(self, digest: str, state: str = "running", *, campaign: str = "c", route: str = "m") -> Rollout:
        submission = uuid4()
        rollout = Rollout(
            rollout_id=uuid4(), submission_id=submission, campaign=campaign, scaffold="native",
            task=TaskInfo(name=digest[7:9], digest=digest), route=route, pool="bubblewrap",
        )  # fmt: skip
        async with self.store._database.connection() as connection:
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
        async with self.store._database.connection() as connection:
            await connection.execute(
                "insert into attempts (rollout_id, attempt, executor, lease_expires, deadline, released, started_at) "
                "values (%s, %s, %s, now() + interval '1 minute', now(), %s, case when %s then now() end)",
                [rollout.rollout_id, number, executor, released, begun])  # fmt: skip
        async with self.store.transaction() as transaction:
            locked = await transaction.lock_rollout(rollout.rollout_id)
            assert locked is not None
            report = report_of(rollout, number, outcome, permanent) if out_of_money or permanent else None
            await self.handlers.close(transaction, locked, outcome, "it broke", report)
            await transaction._connection.execute(
                "update attempts set closed_at = %s where rollout_id = %s and attempt = %s",
                [when, rollout.rollout_id, number])  # fmt: skip

    async def quarantined(self) -> list[str]:
        return [row["task_digest"] for row in await self.store.rows("quarantined", digest=None)]

    async def state(self, rollout_id: UUID) -> str:
        async with self.store._database.connection() as connection:
            row = await (
                await connection.execute("select state from rollouts where rollout_id = %s", [rollout_id])
            ).fetchone()
        assert row is not None
        return row["state"]


@pytest.fixture
async def desk(make_chassis, migrated, tmp_path):
    database = Database(migrated("scheduler", "synthbench.scheduler"), "scheduler")
    await database.open()
    async with make_chassis(Service.SCHEDULER, SchedulerSettings, quarantine_failures=3, max_attempts=9) as chassis:
        store = SchedulerStore(database, Outbox(chassis, database))
        policy = Policy(("bubblewrap",), ("native",))
        handlers = Handlers(
            chassis.settings,
            store,
            TaskCatalogue(FilesStore(tmp_path)),
            Parents(FilesStore(tmp_path), AnnouncedScaffolds(store, policy.scaffolds).resumable),
            policy,
            chassis.log,
        )
        yield Desk(store, handlers)
    await database.close()
