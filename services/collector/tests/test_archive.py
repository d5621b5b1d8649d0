"""The catalogue in the artifact store, and made again from there: it answers the same."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest
import structlog
from pydantic import SecretStr

from catalogue_of import TrajectoryMaker
from synthbench.collector.api import build_api
from synthbench.collector.archive import CatalogueArchive
from synthbench.collector.settings import CollectorSettings
from synthbench.storage.artifacts import FilesStore, key_uri
from synthbench.storage.database import Database
from synthbench.storage.migrations import migrate_all

QUESTIONS = (
    "/v1/trajectories", "/v1/trajectories?filter=outcome:infra_error", "/v1/trajectories?filter=verdict:accept",
    "/v1/trajectories?filter=Next", "/v1/trajectories.ndjson", "/v1/attempts", "/v1/tasks", "/v1/stats?by=task&k=1",
    "/v1/stats/funnel", "/v1/stats/days",
)  # fmt: skip


@pytest.fixture
def archive(database: Database, store: FilesStore) -> CatalogueArchive:
    return CatalogueArchive(database, store, 0, structlog.get_logger())


@asynccontextmanager
async def emptied(dsn: SecretStr, store: FilesStore) -> AsyncGenerator[httpx.AsyncClient]:
    """The API of an emptied database on the same artifact store."""
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("drop schema catalogue cascade")
    await asyncio.to_thread(migrate_all, dsn)
    database = Database(dsn, "catalogue")
    await database.open()
    archive = CatalogueArchive(database, store, 0, structlog.get_logger())
    app = build_api(CollectorSettings(), database, store, archive)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        yield client
    await database.close()


async def answers(api: httpx.AsyncClient) -> dict[str, str]:
    """To every question, and to those about each trajectory."""
    found = {path: (await api.get(path)).text for path in QUESTIONS}
    for row in json.loads(found["/v1/trajectories"])["trajectories"]:
        one, attempt = f"/v1/trajectories/{row['trajectory_id']}", f"/v1/attempts/{row['rollout_id']}/{row['attempt']}"
        for path in (one, f"{one}/content", f"{one}/steps", f"{attempt}/steps", f"{attempt}/calls"):
            answer = await api.get(path)
            assert answer.status_code == 200, answer.text
            found[path] = answer.text
    return found


async def rebuilt(api: httpx.AsyncClient) -> dict[str, Any]:
    lines = (await api.post("/v1/rebuild")).text.splitlines()
    return json.loads(lines[-1])


@pytest.mark.timeout(60)
async def test_from_an_emptied_database_it_answers_the_same(
    api: httpx.AsyncClient, database: Database, store: FilesStore, archive: CatalogueArchive, dsn: SecretStr
):
    maker = TrajectoryMaker(database, store)
    for number in range(5):
        await maker.trajectory(steps=number + 1, counted=number < 4, verdict="accept" if number % 2 else "reject")
        assert await archive.flush() > 0
    before = await answers(api)
    assert len(before) > 30
    assert len(json.loads(before["/v1/trajectories"])["trajectories"]) == 5
    assert len(json.loads(before["/v1/trajectories?filter=Next"])["trajectories"]) == 5
    await database.close()
    async with emptied(dsn, store) as again:
        assert (await again.get("/v1/trajectories")).json()["trajectories"] == []
        done = await rebuilt(again)
        assert done["rows"]["trajectories"] == 5
        assert (done["trajectories"], done["unreadable"]) == (5, [])
        assert await answers(again) == before
        assert set((await rebuilt(again))["rows"].values()) == {0}
        assert await answers(again) == before


async def test_what_is_there_stays_and_what_went_does_not_come_back(
    api: httpx.AsyncClient, database: Database, store: FilesStore, archive: CatalogueArchive
):
    maker = TrajectoryMaker(database, store)
    first, second = [await maker.trajectory(steps=1) for _ in range(2)]
    await archive.flush()
    async with database.connection() as connection:
        await connection.execute("delete from trajectories where trajectory_id = %s", [first])
        await connection.execute("update trajectories set verdict = 'review' where trajectory_id = %s", [second])
    done = await rebuilt(api)
    assert done["rows"]["trajectories"] == 0
    assert (await api.get(f"/v1/trajectories/{first}")).status_code == 404
    assert (await api.get(f"/v1/trajectories/{second}")).json()["verdict"] == "review"


async def test_one_row_changed_often_is_as_it_was_last(
    database: Database, store: FilesStore, archive: CatalogueArchive, dsn: SecretStr
):
    maker = TrajectoryMaker(database, store)
    identity = await maker.trajectory(steps=1)
    for number in range(30):
        async with database.connection() as connection:
            await connection.execute("update trajectories set detail = %s", [f"state {number}"])
        if number % 7 == 0:
            await archive.flush()
    replicas = [CatalogueArchive(database, store, 0, structlog.get_logger()) for _ in range(4)]
    await asyncio.gather(*(replica.flush() for replica in replicas))
    await database.close()
    async with emptied(dsn, store) as again:
        await rebuilt(again)
        assert (await again.get(f"/v1/trajectories/{identity}")).json()["detail"] == "state 29"


async def test_another_catalogues_segments_stay(database: Database, store: FilesStore, archive: CatalogueArchive):
    await store.put_named("catalogue/000000000001", b"of somebody else")
    await store.put_named("catalogue/000000000007", b"of somebody else")
    await TrajectoryMaker(database, store).trajectory(steps=1)
    assert await archive.flush() > 0
    keys = [key async for key in store.list("catalogue/")]
    assert keys[-1] == "catalogue/000000000008"
    assert await store.get(key_uri(keys[0])) == b"of somebody else"


async def test_a_segment_that_cannot_be_read_is_one_line(api: httpx.AsyncClient, store: FilesStore):
    await store.put_named("catalogue/000000000001", b"no zstd")
    assert "catalogue/000000000001 is no segment" in (await rebuilt(api))["error"]


async def test_a_trajectory_whose_file_is_gone_is_named(
    database: Database, store: FilesStore, archive: CatalogueArchive, dsn: SecretStr
):
    identity = await TrajectoryMaker(database, store).trajectory(steps=1)
    await archive.flush()
    async with database.connection() as connection:
        row = await (await connection.execute("select artifact ->> 'uri' as uri from trajectories")).fetchone()
    assert row is not None
    await store.delete(row["uri"])
    await database.close()
    async with emptied(dsn, store) as again:
        done = await rebuilt(again)
    assert len(done["unreadable"]) == 1
    assert str(identity) in done["unreadable"][0]
