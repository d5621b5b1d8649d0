"""Backup and restore between two databases, with what can be wrong."""

import asyncio
import io
import json
import tarfile
from pathlib import Path

import psycopg
import pytest
import zstandard
from psycopg.rows import DictRow
from pydantic import SecretStr

from synthbench.client.errors import CliError
from synthbench.operations import backups
from synthbench.operations.backups import Backup, Restore
from synthbench.operations.operator import connected
from synthbench.storage.artifacts import FilesStore, key_uri
from synthbench.storage.database import Database
from synthbench.storage.migrations import migrate_all, recreate
from synthbench.storage.schemas import latest_version

Connection = psycopg.AsyncConnection[DictRow]
OLD, NEW = "2025-03-05T10:00:00Z", "2026-11-25T10:00:00Z"


@pytest.fixture
def store(tmp_path: Path) -> FilesStore:
    return FilesStore(tmp_path / "artifacts")


async def fill(connection: Connection, store: FilesStore) -> str:
    """Rows in tables that refer to each other, in partitions, with identities and bytes; return the store's body."""
    await connection.execute("select catalogue.make_partition('steps', %s)", [OLD])
    for number, moment in enumerate((OLD, NEW)):
        await connection.execute(
            "insert into catalogue.steps (attempt_at, rollout_id, attempt, index, submission_id, digest, body) values "
            "(%s, '0196f000-0000-7000-8000-000000000000', 1, %s, gen_random_uuid(), 'd', %s)",
            [moment, number, 'tab\t and \\ and "\n" and ☃'],
        )
    await connection.execute(
        "insert into scheduler.submissions (submission_id, campaign, body, state, max_cost_microusd) values "
        "('0196f000-0000-7000-8000-000000000001', 'c', '{}', 'open', 0)"
    )
    await connection.execute(
        "insert into scheduler.rollouts (rollout_id, submission_id, campaign, body, pool, priority, state) values "
        "('0196f000-0000-7000-8000-000000000000', '0196f000-0000-7000-8000-000000000001', 'c', '{}', 'p', 1, 'ready')"
    )
    await connection.execute(
        "insert into scheduler.outbox (id, subject, stream, headers, payload) values "
        "(gen_random_uuid(), 's', 'EVENTS', '{}', %s)",
        [bytes(range(256))],
    )
    await store.put_named("journal/a/1/0001", b"a record")
    return (await store.put(b"a body")).uri


async def announce(connection: Connection, schema: str) -> None:
    query = (
        "insert into {}.outbox (id, subject, stream, headers, payload) values (gen_random_uuid(), '', '', '{{}}', '')"
    )
    await connection.execute(query.format(schema).encode())


async def content(connection: Connection) -> dict[str, list[dict]]:
    queries = ("catalogue.steps", "catalogue.unarchived", "scheduler.rollouts", "scheduler.outbox")
    return {
        name: await (await connection.execute(f"select * from {name} t order by t::text".encode())).fetchall()
        for name in queries
    }


async def emptied(connection: Connection, dsn: SecretStr) -> None:
    for schema in ("catalogue", "scheduler", "ledger", "quality", "diversity"):
        await connection.execute(f"drop schema {schema} cascade".encode())
    await asyncio.to_thread(migrate_all, dsn)


async def test_everything_comes_back(connection: Connection, store: FilesStore, dsn: SecretStr, tmp_path: Path):
    uri = await fill(connection, store)
    before = await content(connection)
    assert [len(rows) for rows in before.values()] == [2, 0, 1, 1]
    made = Backup(connection, store)
    assert "1 records, 1 artifacts" in await made.write(tmp_path / "b.tar")
    assert made.problems == []
    await emptied(connection, dsn)
    other = FilesStore(tmp_path / "other")
    await Restore(dsn, connection, other).read(tmp_path / "b.tar")
    assert await content(connection) == before
    assert (await other.get(uri), await other.get(key_uri("journal/a/1/0001"))) == (b"a body", b"a record")
    # The next identity is a new one, and old steps lie in their week's partition.
    await announce(connection, "scheduler")
    rows = await connection.execute("select seq from scheduler.outbox")
    assert len({row["seq"] for row in await rows.fetchall()}) == 2
    kept = await (await connection.execute("select count(*) as n from catalogue.steps_20250303")).fetchone()
    assert kept == {"n": 1}


async def test_a_backup_of_an_older_release_comes_back_and_is_migrated(
    connection: Connection, store: FilesStore, dsn: SecretStr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    older = {"scheduler": latest_version("scheduler") - 1, "quality": latest_version("quality") - 1}
    recreate(dsn, older)
    await fill(connection, store)
    before = await content(connection)
    with monkeypatch.context() as patched:
        patched.setattr(backups, "latest_version", lambda schema: older.get(schema) or latest_version(schema))
        await Backup(connection, store).write(tmp_path / "b.tar")
    await emptied(connection, dsn)
    told: list[str] = []
    await Restore(dsn, connection, store, told.append).read(tmp_path / "b.tar")
    assert [line.split("_")[0] for line in told] == [
        f"applied {schema}/{older[schema] + 1:04}" for schema in sorted(older)
    ]
    assert await content(connection) == before
    assert migrate_all(dsn) == []


async def test_it_is_of_one_moment(connection: Connection, store: FilesStore, dsn: SecretStr, tmp_path: Path):
    """What is written while a backup is made is in it wholly or not at all."""
    stop = asyncio.Event()

    async def write() -> int:
        count = 0
        async with connected(dsn) as own:
            while not stop.is_set():
                async with own.transaction():
                    await announce(own, "scheduler")
                    await announce(own, "ledger")
                count += 1
        return count

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.2)
    await Backup(connection, store).write(tmp_path / "b.tar")
    stop.set()
    written = await writing
    await emptied(connection, dsn)
    await Restore(dsn, connection, store).read(tmp_path / "b.tar")
    query = "select (select count(*) from scheduler.outbox) as a, (select count(*) from ledger.outbox) as b"
    counts = await (await connection.execute(query.encode())).fetchone()
    assert counts is not None
    assert counts["a"] == counts["b"]
    assert 0 < counts["a"] < written


async def test_what_cannot_be_read_is_named_and_the_rest_saved(
    connection: Connection, store: FilesStore, dsn: SecretStr, tmp_path: Path
):
    uri = await fill(connection, store)
    path = store.local_path(uri)
    path.chmod(0o644)
    path.write_bytes(b"other")
    made = Backup(connection, store)
    assert "1 records, 0 artifacts" in await made.write(tmp_path / "b.tar")
    assert len(made.problems) == 1
    assert uri in made.problems[0]


async def refusal(dsn: SecretStr, connection: Connection, store: FilesStore, path: Path) -> str:
    before = await content(connection)
    with pytest.raises(CliError) as caught:
        await Restore(dsn, connection, store).read(path)
    assert await content(connection) == before
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


async def test_a_stack_in_use_is_left_alone(connection: Connection, store: FilesStore, dsn: SecretStr, tmp_path: Path):
    await Backup(connection, store).write(tmp_path / "b.tar")
    database = Database(dsn, "quality")
    await database.open()
    assert "in use by synth-bench quality" in await refusal(dsn, connection, store, tmp_path / "b.tar")
    await database.close()
    await fill(connection, store)
    assert "has a record already (scheduler.submissions)" in await refusal(dsn, connection, store, tmp_path / "b.tar")


def edited(source: Path, target: Path, name: str, data: bytes) -> Path:
    """A copy with another content of one member."""
    with tarfile.open(source) as tar, tarfile.open(target, "w") as other:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            text = data if member.name == name else content.read()
            member.size = len(text)

            other.addfile(member, io.BytesIO(text))
    return target


async def test_what_is_no_sound_backup_changes_nothing(
    connection: Connection, store: FilesStore, dsn: SecretStr, tmp_path: Path
):
    uri = await fill(connection, store)
    whole = tmp_path / "b.tar"
    await Backup(connection, store).write(whole)
    await emptied(connection, dsn)
    about = {"format": 1, "made": NEW, "schemas": {"catalogue": 1}}
    body = f"bodies/{uri.rpartition('/')[2]}"
    for name, data, said in (
        ("backup.json", json.dumps(about | {"schemas": {"catalogue": 999}}).encode(), "of a newer release"),
        ("backup.json", json.dumps(about | {"schemas": {"reviews": 1}}).encode(), "of a newer release"),
        ("backup.json", json.dumps(about | {"schemas": {}}).encode(), "of a newer release"),
        ("backup.json", json.dumps(about).encode(), "does not fit its own schemas"),
        ("backup.json", b"{", "cannot be read"),
        ("backup.json", b'{"format": 2}', "format 2"),
        ("tables/catalogue.steps", b"no zstd", "cannot be read"),
        ("tables/catalogue.steps", zstandard.compress(b"x" * 1000)[:-3], "cut off"),
        (body, b"another", "is not what its digest says"),
        ("end.json", b'{"keys": 7, "bodies": 7}', "cut off"),
    ):
        problem = await refusal(dsn, connection, store, edited(whole, tmp_path / "edited.tar", name, data))
        assert said in problem, name
    with tarfile.open(whole) as tar:
        size = tar.getmember("end.json").offset  # what follows it is padding
    for part in (0.1, 0.5, 0.9, 1.0):
        (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[: int(size * part)])
        await refusal(dsn, connection, store, tmp_path / "cut.tar")
    assert "No such file" in await refusal(dsn, connection, store, tmp_path / "none.tar")
    await Restore(dsn, connection, store).read(whole)
    assert len((await content(connection))["catalogue.steps"]) == 2
