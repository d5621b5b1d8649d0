"""Closed attempts: each is claimed by one process, no transaction waits for the artifact store, no step is left out."""

import asyncio
from typing import Any, cast

import pytest

from bench.collectors import steps_of
from catalogue_of import TrajectoryMaker, delivered
from synthbench.collector.adapters.finalising import FinalisingStore
from synthbench.contracts.records import ArtifactRef
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database
from synthbench.storage.trajectories import read_trajectory

CLAIMS = (
    "select 1 from pg_locks join pg_database d on d.oid = database "
    "where locktype = 'advisory' and d.datname = current_database()"
)


class SlowStore(FilesStore):
    """Waits in each `put` of a trajectory until it may go on."""

    def __init__(self, store: FilesStore) -> None:
        super().__init__(store.root)
        self.entered, self.go_on = asyncio.Event(), asyncio.Event()

    async def put(self, data: bytes, *, media_type: str = "application/octet-stream") -> ArtifactRef:
        if media_type.startswith("application/vnd.synth"):
            self.entered.set()
            await self.go_on.wait()
        return await super().put(data, media_type=media_type)


@pytest.fixture
def slow(store: FilesStore) -> SlowStore:
    return SlowStore(store)


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def test_while_a_trajectory_is_written_no_transaction_is_open(database: Database, slow: SlowStore):
    maker = TrajectoryMaker(database, slow)
    await maker.attempt(steps=2)
    async with asyncio.TaskGroup() as group:
        sweep = group.create_task(maker.finaliser.sweep())
        await slow.entered.wait()
        others = "datname = current_database() and pid <> pg_backend_pid()"
        states = await rows(database, f"select state from pg_stat_activity where {others} and state <> 'idle'")
        locks = await rows(database, CLAIMS)
        slow.go_on.set()
    assert states == []
    assert len(locks) == 1, "the claim on the attempt is one advisory lock"
    assert sweep.result() == 1
    assert await rows(database, CLAIMS) == []


async def test_an_attempt_that_another_process_works_on_is_passed_over(database: Database, slow: SlowStore):
    first, second = TrajectoryMaker(database, slow), TrajectoryMaker(database, slow)
    await first.attempt(steps=2)
    async with asyncio.TaskGroup() as group:
        sweep = group.create_task(first.finaliser.sweep())
        await slow.entered.wait()
        assert await second.finaliser.sweep() == 0
        slow.go_on.set()
    assert sweep.result() == 1
    assert await second.finaliser.sweep() == 0
    assert len(await rows(database, "select 1 from trajectories")) == 1


async def test_a_step_that_comes_while_the_trajectory_is_written_is_in_it(database: Database, slow: SlowStore):
    maker = TrajectoryMaker(database, slow)
    rollout = await maker.attempt(steps=2)
    late = list(steps_of(rollout, 3))[2]
    async with asyncio.TaskGroup() as group:
        sweep = group.create_task(maker.finaliser.sweep())
        await slow.entered.wait()
        await maker.handlers.on_steps([delivered(late, "step.recorded")])
        slow.go_on.set()
    assert sweep.result() == 0
    assert await rows(database, "select 1 from trajectories") == []
    assert await maker.finaliser.sweep() == 1
    (row,) = await rows(database, "select artifact ->> 'uri' as uri from trajectories")
    assert [step.index for step in (await read_trajectory(slow, row["uri"])).steps] == [0, 1, 2]
    assert await rows(database, "select 1 from steps_aside") == []


async def test_a_claim_ends_with_its_block(database: Database, slow: SlowStore):
    await TrajectoryMaker(database, slow).attempt(steps=1)
    table = FinalisingStore(database, cast("Any", None))
    async with table.claim(set()) as attempt:
        assert attempt is not None
        async with table.claim(set()) as other:
            assert other is None
    async with table.claim(set()) as again:
        assert again is not None
        assert again.key == attempt.key
