"""What goes, and what never does."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog

from catalogue_of import TrajectoryMaker
from synthbench.collector.archive import CatalogueArchive
from synthbench.collector.retention import Retention
from synthbench.collector.settings import CollectorSettings
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database


def retention(database: Database, **settings: Any) -> Retention:
    return Retention(CollectorSettings(**settings), database, structlog.get_logger())


@pytest.fixture
def maker(database: Database, store: FilesStore) -> TrajectoryMaker:
    return TrajectoryMaker(database, store)


async def rows(database: Database, query: str, **parameters: Any) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute(query.encode(), parameters or None)).fetchall()


async def run(database: Database, query: str, **parameters: Any) -> None:
    async with database.connection() as connection:
        await connection.execute(query.encode(), parameters or None)


async def age(database: Database, identity: UUID, days: int) -> None:
    """As if it had been made so long ago; its steps lie in that week's partition."""
    scope = {"identity": identity, "days": days}
    where = "(rollout_id, attempt) in (select rollout_id, attempt from trajectories where trajectory_id = %(identity)s)"
    earlier = "now() - %(days)s * interval '1 day'"
    await run(database, f"select make_partition('steps', {earlier})", **scope)
    moved = f"update attempts set created_at = {earlier} where {where}"
    await run(database, moved, **scope)
    joined = "from attempts a where a.rollout_id = steps.rollout_id and a.attempt = steps.attempt"
    await run(database, f"update steps set attempt_at = a.created_at {joined}")
    await run(database, f"update trajectories set stored_at = {earlier} where trajectory_id = %(identity)s", **scope)


async def steps(database: Database) -> int:
    return (await rows(database, "select count(*) as n from steps"))[0]["n"]


async def test_weeks_of_cold_steps_go_at_once_and_are_read_from_the_artifact(
    api: httpx.AsyncClient, database: Database, maker: TrajectoryMaker
):
    cold, hot = await maker.trajectory(steps=3), await maker.trajectory(steps=2)
    await age(database, cold, 60)
    known = (await rows(database, "select rollout_id from trajectories where trajectory_id = %(t)s", t=cold))[0]
    path = f"/v1/attempts/{known['rollout_id']}/1/steps"
    before = (await api.get(path)).json()
    assert len(before["steps"]) == 3
    assert await retention(database).sweep() == {"weeks_of_steps": 1, "trajectories": 0}
    assert await steps(database) == 2
    assert (await api.get(path)).json() == before
    for identity, count in ((cold, 3), (hot, 2)):
        found = (await api.get(f"/v1/trajectories/{identity}/steps")).json()
        assert len(found["steps"]) == count
    assert await retention(database).sweep() == {"weeks_of_steps": 0, "trajectories": 0}


async def test_a_week_with_an_unfinished_attempt_stays(database: Database, maker: TrajectoryMaker):
    await age(database, await maker.trajectory(steps=3), 60)
    await run(database, "update attempts set state = 'closing'")
    assert (await retention(database).sweep())["weeks_of_steps"] == 0
    assert await steps(database) == 3
    await run(database, "update attempts set state = 'stored'")
    assert (await retention(database).sweep())["weeks_of_steps"] == 1
    assert await steps(database) == 0


async def test_what_lies_in_no_week_goes_too(database: Database, maker: TrajectoryMaker):
    await age(database, await maker.trajectory(steps=3), 60)
    name = (await rows(database, "select tableoid::regclass::text as name from steps limit 1"))[0]["name"]
    await run(database, f"alter table steps detach partition {name}")
    await run(database, f"insert into steps_default select * from {name}")
    await run(database, f"drop table {name}")
    assert await steps(database) == 3
    await retention(database).sweep()
    assert await steps(database) == 0


async def test_coming_weeks_have_their_partitions(database: Database):
    names = "select relname from pg_class where relname like 'steps\\_2%' and relkind = 'r' order by 1"
    for row in await rows(database, names):
        await run(database, f"drop table {row['relname']}")
    await retention(database).sweep()
    assert len(await rows(database, names)) == 5
    await retention(database).sweep()
    assert len(await rows(database, names)) == 5


async def test_attempts_that_do_not_count_expire_and_nothing_else(
    api: httpx.AsyncClient, database: Database, store: FilesStore, maker: TrajectoryMaker
):
    expired, held, forked, young = [await maker.trajectory(steps=2, counted=False) for _ in range(4)]
    counted = await maker.trajectory(steps=2)
    child = await maker.trajectory(steps=2)
    await run(database, "update trajectories set forked_from = %(f)s where trajectory_id = %(c)s", f=forked, c=child)
    for identity in (expired, held, forked, counted):
        await age(database, identity, 10)
    assert (await api.put(f"/v1/trajectories/{held}/holds/dataset:one")).status_code == 200
    assert await retention(database).sweep() == {"weeks_of_steps": 0, "trajectories": 0}
    sweeping = retention(database, failed_attempt_days=7)
    report = await sweeping.report()
    assert report["expirable"]["count"] == 1
    assert await sweeping.sweep() == {"weeks_of_steps": 0, "trajectories": 1}
    left = {row["trajectory_id"] for row in await rows(database, "select trajectory_id from trajectories")}
    assert left == {held, forked, young, counted, child}
    assert (await api.get(f"/v1/trajectories/{expired}")).status_code == 404
    for table in ("names", "trajectory_words", "verdicts"):
        of_it = await rows(database, f"select 1 from {table} where trajectory_id = %(t)s", t=expired)
        assert of_it == [], table
    assert await steps(database) == 10
    states = await rows(database, "select expired_at is null as kept, count(*) as n from attempts group by 1")
    assert {row["kept"]: row["n"] for row in states} == {True: 5, False: 1}
    assert len([body async for body in store.bodies()]) > 0
    assert (await api.delete(f"/v1/trajectories/{held}/holds/dataset:one")).status_code == 200
    assert (await sweeping.sweep())["trajectories"] == 1


async def test_many_expire_in_parts(database: Database, maker: TrajectoryMaker, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("synthbench.collector.retention._AT_ONCE", 2)
    for _ in range(5):
        await age(database, await maker.trajectory(steps=1, counted=False), 10)
    assert (await retention(database, failed_attempt_days=7).sweep())["trajectories"] == 5


async def test_of_several_replicas_one_sweeps(database: Database, maker: TrajectoryMaker):
    for _ in range(4):
        await age(database, await maker.trajectory(steps=1, counted=False), 40)
    several = [retention(database, failed_attempt_days=7).sweep() for _ in range(4)]
    done = await asyncio.gather(*several)
    assert sum(one["trajectories"] for one in done) <= 4
    await retention(database, failed_attempt_days=7).sweep()
    assert await rows(database, "select 1 from trajectories") == []


async def test_the_report_says_where_room_went(
    api: httpx.AsyncClient, database: Database, store: FilesStore, maker: TrajectoryMaker
):
    await age(database, await maker.trajectory(steps=3), 60)
    await maker.trajectory(steps=1, counted=False)
    report = (await api.get("/v1/storage")).json()
    assert {table["name"] for table in report["tables"]} >= {"steps", "attempts", "trajectories", "llm_calls", "held"}
    assert not [table for table in report["tables"] if table["name"].startswith("steps_2")]
    cold = [week for week in report["weeks_of_steps"] if week["cold"]]
    assert [(week["unfinished"]) for week in cold] == [0]
    assert {(row["counted"], row["trajectories"]) for row in report["trajectories"]} == {(True, 1), (False, 1)}
    assert report["changes_not_archived"] > 0
    await CatalogueArchive(database, store, 0, structlog.get_logger()).flush()
    assert (await api.get("/v1/storage")).json()["changes_not_archived"] == 0


@pytest.mark.parametrize("holder", ["../x", "", "a b", "x" * 201])
async def test_a_holder_has_a_name(api: httpx.AsyncClient, maker: TrajectoryMaker, holder: str):
    identity = await maker.trajectory(steps=1)
    assert (await api.put(f"/v1/trajectories/{identity}/holds/{holder}")).status_code in (404, 422)
