"""Bad days of the collector: its store is full, slow, denying or lying, its database read-only or full."""

import asyncio
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import structlog
from pydantic import SecretStr
from structlog.testing import capture_logs

from bench.collectors import steps_of
from catalogue_of import TrajectoryMaker, delivered
from s3_faults import FaultyS3
from synthbench.chassis.errors import Transient
from synthbench.collector.archive import CatalogueArchive
from synthbench.contracts.ids import uuid7
from synthbench.contracts.journal import journal_key
from synthbench.contracts.records import ArtifactRef
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.storage.artifacts import FilesStore, key_uri
from synthbench.storage.artifacts.s3 import S3Store
from synthbench.storage.database import Database
from synthbench.storage.errors import ArtifactStoreUnavailable, DatabaseUnavailable
from synthbench.storage.trajectories import read_trajectory

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
async def bucket(faulty_s3: FaultyS3, tmp_path: Path) -> S3Store:
    made = S3Store("collector", f"{tmp_path.name}/")
    await made.prepare()
    return made


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def stored(database: Database) -> dict[UUID, ArtifactRef]:
    found = await rows(database, "select trajectory_id, artifact from trajectories")
    return {row["trajectory_id"]: ArtifactRef.model_validate(row["artifact"]) for row in found}


@pytest.mark.parametrize("fault", ["full", "denying", "busy", "hanging", "cut off"])
async def test_while_the_store_fails_attempts_wait_and_then_are_stored_once(
    database: Database, bucket: S3Store, faulty_s3: FaultyS3, fault: str
):
    maker = TrajectoryMaker(database, bucket)
    await maker.attempt(steps=3)
    faulty_s3.fault = fault
    with pytest.raises(ArtifactStoreUnavailable):
        await maker.finaliser.sweep()
    assert await stored(database) == {}
    assert [row["state"] for row in await rows(database, "select state from attempts")] == ["closing"]
    faulty_s3.fault = ""
    assert await maker.finaliser.sweep() == 1
    assert await maker.finaliser.sweep() == 0
    (artifact,) = (await stored(database)).values()
    assert len((await read_trajectory(bucket, artifact.uri)).steps) == 3


async def test_a_slow_store_is_waited_for(database: Database, bucket: S3Store, faulty_s3: FaultyS3):
    maker = TrajectoryMaker(database, bucket)
    await maker.attempt(steps=1)
    faulty_s3.fault = "slow"
    assert await maker.finaliser.sweep() == 1


async def test_one_whose_store_lies_does_not_hold_up_the_others(database: Database, store: FilesStore):
    """Every body that is written twice in a row comes back wrong: the attempt waits, and is told of."""

    class Lying(FilesStore):
        lies: set[str] = set()

        async def get(self, uri: str) -> bytes:
            if uri in self.lies:
                self.local_path(uri).chmod(0o644)
                self.local_path(uri).write_bytes(b"something else")
            return await super().get(uri)

        async def put(self, data: bytes, *, media_type: str = "application/octet-stream") -> ArtifactRef:
            made = await super().put(data, media_type=media_type)
            if media_type.startswith("application/vnd.synth") and not self.lies:
                self.lies.add(made.uri)
            return made

    lying = Lying(store.root)
    maker = TrajectoryMaker(database, lying)
    first = await maker.attempt(steps=2)
    second = await maker.attempt(steps=4)
    with capture_logs() as logs:
        assert await maker.finaliser.sweep() == 1
    assert len(lying.lies) == 1
    waits = [entry for entry in logs if entry["event"] == "attempt waits"]
    assert [(entry["attempt"], "hashes to" in entry["error"]) for entry in waits] == [(f"{first}/1", True)]
    assert len(await stored(database)) == 1
    states = await rows(database, "select rollout_id, state from attempts")
    assert {row["rollout_id"]: row["state"] for row in states} == {first: "closing", second: "stored"}
    lying.lies = {"none"}
    assert await maker.finaliser.sweep() == 1
    for artifact in (await stored(database)).values():
        await read_trajectory(lying, artifact.uri)


async def test_a_body_that_lies_wrong_already_is_written_again(database: Database, store: FilesStore):
    """The same trajectory was stored by one that was killed, and its body is damaged since."""
    maker = TrajectoryMaker(database, store)
    await maker.attempt(steps=2)
    assert await maker.finaliser.sweep() == 1
    (artifact,) = (await stored(database)).values()
    async with database.connection() as connection:
        await connection.execute("delete from trajectories")
        await connection.execute("update attempts set state = 'closing'")
    path = store.local_path(artifact.uri)
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with capture_logs() as logs:
        assert await maker.finaliser.sweep() == 1
    assert [entry["event"] for entry in logs] == ["a trajectory is written again"]
    assert (await stored(database)).popitem()[1] == artifact
    assert len((await read_trajectory(store, artifact.uri)).steps) == 2


async def test_a_journal_that_cannot_be_read_is_kept_aside(database: Database, store: FilesStore):
    maker = TrajectoryMaker(database, store)
    rollout = await maker.attempt(steps=2)
    (late,) = list(steps_of(rollout, 3))[2:]
    await store.put_named(journal_key(late), b"\x00 not what it was \xff")
    assert await maker.finaliser.sweep() == 1
    found = await rows(database, "select index, reason, body from steps_aside")
    assert [(row["index"], row["reason"]) for row in found] == [(2, "journalled, and cannot be read")]
    assert "not what it was" in found[0]["body"]
    assert not await store.exists(key_uri(journal_key(late)))


@pytest.fixture
async def read_only(dsn: SecretStr, database: Database) -> AsyncGenerator[Any]:
    """Switch it on and off: as on a standby, or where an operator wants quiet."""
    name = dsn.get_secret_value().rpartition("/")[2]

    async def switch(state: str) -> None:
        async with await psycopg.AsyncConnection.connect(dsn.get_secret_value(), autocommit=True) as connection:
            await connection.execute("set default_transaction_read_only = off")
            await connection.execute(f"alter database {name} set default_transaction_read_only = {state}".encode())
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )

    yield switch
    await switch("off")


async def settled(work: Any) -> Any:
    """Past the connections that were just ended."""
    for _ in range(20):
        try:
            return await work()
        except DatabaseUnavailable as error:
            if "read-only" in str(error):
                raise
    return await work()


async def test_while_the_database_is_read_only_steps_are_not_taken(
    database: Database, store: FilesStore, read_only: Any
):
    maker = TrajectoryMaker(database, store)
    rollout = await maker.attempt(steps=2)
    more = [delivered(body, "step.recorded") for body in steps_of(uuid7(), 3)]
    await read_only("on")
    with pytest.raises(DatabaseUnavailable, match="read-only transaction") as caught:
        await settled(lambda: maker.handlers.on_steps(more))
    assert isinstance(caught.value, Transient)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(DatabaseUnavailable):
        await settled(maker.finaliser.sweep)
    assert len(await rows(database, "select 1 from steps")) == 2
    await read_only("off")
    await settled(lambda: maker.handlers.on_steps(more))
    assert len(await rows(database, "select 1 from steps")) == 5
    assert await settled(maker.finaliser.sweep) == 1
    assert len(await rows(database, f"select 1 from trajectories where rollout_id = '{rollout}'")) == 1


async def test_a_segment_is_not_lost_while_the_database_cannot_let_go_of_it(
    database: Database, store: FilesStore, read_only: Any
):
    await TrajectoryMaker(database, store).attempt(steps=1)
    archive = CatalogueArchive(database, store, 0, structlog.get_logger())
    await read_only("on")
    with pytest.raises(DatabaseUnavailable):
        await settled(archive.flush)
    await read_only("off")
    assert await settled(archive.flush) > 0
    assert await archive.flush() == 0


async def test_of_a_deadlock_one_side_is_told_and_can_do_it_again(database: Database, store: FilesStore):
    """Somebody else's transaction (an operator's, say) wants the same rows the other way round."""
    maker = TrajectoryMaker(database, store)
    first, second = sorted([await maker.attempt(steps=1), await maker.attempt(steps=1)])
    more = [delivered(body, "step.recorded") for one in (first, second) for body in list(steps_of(one, 3))[1:]]
    locked, lock = asyncio.Event(), b"select 1 from attempts where rollout_id = %s for update"

    async def other() -> None:
        async with database.connection() as connection:
            await connection.execute(lock, [second])
            locked.set()
            await asyncio.sleep(0.5)
            await connection.execute(lock, [first])

    async def ours() -> None:
        await locked.wait()
        await maker.handlers.on_steps(more)

    done = await asyncio.gather(other(), ours(), return_exceptions=True)
    problems = [one for one in done if one is not None]
    assert len(problems) == 1
    assert isinstance(problems[0], DatabaseUnavailable)
    assert "deadlock detected" in str(problems[0])
    await maker.handlers.on_steps(more)
    counted = await rows(database, "select rollout_id, count(*) as n from steps group by 1")
    assert {row["rollout_id"]: row["n"] for row in counted} == {first: 3, second: 3}


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, postgres_server: Any) -> Iterator[Callable[[int], Path]]:
    """A folder of Postgres' that holds so many MB; calling it again makes it larger."""
    if not isinstance(postgres_server, EmbeddedPostgres):
        pytest.skip("the server in a container sees no disk of ours")
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    user = postgres_server.user
    assert user is not None
    with tempfile.TemporaryDirectory(prefix="synthbench-small-") as name:
        folder, mounted = Path(name), False

        def sized(megabytes: int) -> Path:
            nonlocal mounted
            options = f"{'remount,' if mounted else ''}size={megabytes}m,uid={user[0]},gid={user[1]},mode=700"
            command = ["mount", "-t", "tmpfs", "-o", options, "synthbench", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
            if done.returncode != 0 and "CI" not in os.environ:
                pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
            assert done.returncode == 0, done.stderr
            mounted = True
            return folder

        folder.chmod(0o711)
        yield sized
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


async def test_a_full_disk_is_said_and_nothing_is_lost_when_there_is_room_again(
    database: Database, store: FilesStore, dsn: SecretStr, small_disk: Callable[[int], Path]
):
    maker = TrajectoryMaker(database, store)
    rollout = uuid7()
    bodies = [list(steps_of(rollout, number + 1, content=secrets.token_hex(500_000)))[number] for number in range(30)]
    name = f"small_{secrets.token_hex(4)}"
    async with await psycopg.AsyncConnection.connect(dsn.get_secret_value(), autocommit=True) as connection:
        await connection.execute(f"create tablespace {name} location '{small_disk(16)}'".encode())
        for row in await rows(database, "select inhrelid::regclass::text as part from pg_inherits i "
                              "where inhparent = 'steps'::regclass"):  # fmt: skip
            await connection.execute(f"alter table catalogue.{row['part']} set tablespace {name}".encode())
        refused: list[str] = []
        for start in range(0, 30, 5):
            some = [delivered(body, "step.recorded") for body in bodies[start : start + 5]]
            try:
                await maker.handlers.on_steps(some)
            except DatabaseUnavailable as error:
                refused.append(str(error))
        assert 0 < len(refused) < 6
        assert all("No space left on device" in said and len(said.splitlines()) == 1 for said in refused)
        assert len(await rows(database, "select 1 from steps")) == 30 - 5 * len(refused)
        small_disk(200)
        await maker.handlers.on_steps([delivered(body, "step.recorded") for body in bodies])
        found = await rows(database, "select digest from steps order by index")
        assert [row["digest"] for row in found] == [body.step.digest for body in bodies]
        await database.close()
        await connection.execute("drop schema catalogue cascade")
        await connection.execute(f"drop tablespace {name}".encode())


async def test_a_step_of_fifty_megabytes_is_kept_whole(database: Database, store: FilesStore):
    rollout = uuid7()
    (body,) = steps_of(rollout, 1, content="x" * 50_000_000)
    maker = TrajectoryMaker(database, store)
    await maker.handlers.on_steps([delivered(body, "step.recorded")])
    (row,) = await rows(database, "select digest, length(body) as size, body from steps")
    assert row["size"] > 50_000_000
    assert row["digest"] == body.step.digest
    assert json.loads(row["body"])["digest"] == body.step.digest
