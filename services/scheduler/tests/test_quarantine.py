"""On a real Postgres: a task that only ever fails is set aside, a failing machine is not, and drains do not count."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from synthbench.chassis.outbox import Outbox
from synthbench.contracts.records import Outcome, Rollout, TaskInfo
from synthbench.contracts.registry import Service
from synthbench.scheduler.adapters.catalogue import TaskCatalogue
from synthbench.scheduler.adapters.parents import Parents
from synthbench.scheduler.adapters.store import SchedulerStore
from synthbench.scheduler.domain.planning import Plan, Policy
from synthbench.scheduler.handlers import Handlers
from synthbench.scheduler.settings import SchedulerSettings
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database

BAD, GOOD = "sha256:" + "b" * 64, "sha256:" + "a" * 64


class Desk:
    """The scheduler's handlers, with short cuts to what attempts came to."""

    def __init__(self, store: SchedulerStore, handlers: Handlers) -> None:
        self.store = store
        self.handlers = handlers

    async def rollout(self, digest: str, state: str = "running") -> Rollout:
        submission = uuid4()
        rollout = Rollout(
            rollout_id=uuid4(), submission_id=submission, campaign="c", task=TaskInfo(name=digest[7:9], digest=digest),
            scaffold="native", route="m", pool="bubblewrap",
        )  # fmt: skip
        async with self.store._database.connection() as connection:
            await connection.execute(
                "insert into submissions (submission_id, campaign, body, state, max_cost_microusd) "
                "values (%s, 'c', '{}', 'open', 0)", [submission])  # fmt: skip
            await connection.execute(
                "insert into rollouts (rollout_id, submission_id, campaign, body, pool, priority, state) "
                "values (%s, %s, 'c', %s, 'bubblewrap', 1, %s)",
                [rollout.rollout_id, submission, Jsonb(rollout.to_dict()), state])  # fmt: skip
        return rollout

    async def attempt(
        self, rollout: Rollout, number: int, outcome: Outcome, executor: str, *, minutes: float = 0, released=False
    ) -> None:
        when = datetime.now(UTC) + timedelta(minutes=minutes)
        async with self.store._database.connection() as connection:
            await connection.execute(
                "insert into attempts (rollout_id, attempt, executor, lease_expires, deadline, released) "
                "values (%s, %s, %s, now() + interval '1 minute', now(), %s)",
                [rollout.rollout_id, number, executor, released])  # fmt: skip
        async with self.store.transaction() as transaction:
            locked = await transaction.lock_rollout(rollout.rollout_id)
            assert locked is not None
            await self.handlers.close(transaction, locked, outcome, "it broke", None)
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
            chassis.settings, store, TaskCatalogue(FilesStore(tmp_path)), Parents(FilesStore(tmp_path)), policy
        )
        yield Desk(store, handlers)
    await database.close()


async def fail(desk: Desk, digest: str, executors: list[str], **options) -> None:
    """Two rollouts that fail in turn."""
    two = [await desk.rollout(digest), await desk.rollout(digest)]
    for number, executor in enumerate(executors):
        await desk.attempt(two[number % 2], number // 2 + 1, Outcome.INFRA_ERROR, executor, **options)


async def test_a_task_that_only_fails_while_others_fare_better(desk: Desk):
    waiting = await desk.rollout(BAD, state="planned")
    first = await desk.rollout(BAD)
    await desk.attempt(first, 1, Outcome.INFRA_ERROR, "one", minutes=-5)
    await desk.attempt(await desk.rollout(GOOD), 1, Outcome.UNSOLVED, "one")
    await fail(desk, BAD, ["two", "three"])
    assert await desk.quarantined() == [BAD]
    assert await desk.state(waiting.rollout_id) == "failed"
    # A new submission of it hears why.
    planned = await desk.handlers._unless_quarantined(BAD, Plan())
    assert "is in quarantine: 3 failures in a row over" in planned.errors[0].message
    # Let go, its past does not count any more.
    assert await desk.store.rows("release_quarantine", digest=BAD)
    await desk.attempt(await desk.rollout(BAD), 1, Outcome.INFRA_ERROR, "four")
    assert await desk.quarantined() == []


async def test_a_machine_that_fails_is_not_the_tasks_fault(desk: Desk):
    await fail(desk, BAD, ["one", "two", "three", "four"])
    assert await desk.quarantined() == []


async def test_one_executor_that_dies_with_all_its_attempts_is_one_failure(desk: Desk):
    await desk.attempt(await desk.rollout(BAD), 1, Outcome.INFRA_ERROR, "one", minutes=-5)
    await desk.attempt(await desk.rollout(GOOD), 1, Outcome.SOLVED, "two")
    for _ in range(8):
        await desk.attempt(await desk.rollout(BAD), 1, Outcome.INFRA_ERROR, "one")
    assert await desk.quarantined() == []


async def test_a_success_in_between_begins_the_count_anew(desk: Desk):
    await fail(desk, BAD, ["one", "two"], minutes=-5)
    await desk.attempt(await desk.rollout(BAD), 1, Outcome.UNSOLVED, "one", minutes=-1)
    await desk.attempt(await desk.rollout(GOOD), 1, Outcome.UNSOLVED, "one")
    await fail(desk, BAD, ["three", "four"])
    assert await desk.quarantined() == []


async def test_drains_do_not_count(desk: Desk):
    await desk.attempt(await desk.rollout(BAD), 1, Outcome.INFRA_ERROR, "zero", minutes=-5, released=True)
    await desk.attempt(await desk.rollout(GOOD), 1, Outcome.UNSOLVED, "one")
    await fail(desk, BAD, ["one", "two", "three", "four"], released=True)
    assert await desk.quarantined() == []


async def test_overdue_ones_are_announced_again(desk: Desk):
    stuck = await desk.rollout(BAD, state="ready")
    async with desk.store._database.connection() as connection:
        await connection.execute("update rollouts set changed_at = now() - interval '1 hour'")
    assert await desk.handlers.reconcile() == 1
    assert await desk.state(stuck.rollout_id) == "planned"
    assert await desk.handlers.feed() == 1
    assert await desk.handlers.reconcile() == 0
