"""The pool: transactions, and one line without a password when Postgres is away."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest
from pydantic import SecretStr

from synthbench.chassis.errors import SettingsError, Transient
from synthbench.embedded.children import free_port
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.storage import database as module
from synthbench.storage.database import Database, place_of
from synthbench.storage.errors import DatabaseUnavailable
from synthbench.storage.migrations import migrate

if TYPE_CHECKING:
    from conftest import MakePackage

OpenDatabase = Callable[..., Awaitable[Database]]


@pytest.fixture
async def database(
    postgres_server: EmbeddedPostgres, schema: str, make_package: "MakePackage"
) -> AsyncGenerator[Database]:
    package = make_package(**{"0001_facts": "create table facts (name text primary key)"})
    await asyncio.to_thread(migrate, postgres_server.dsn, [(schema, package)])
    made = Database(postgres_server.dsn, schema, max_size=2, statement_seconds=0.3, wait_seconds=0.3)
    await made.open()
    yield made
    await made.close()


async def facts(database: Database) -> list[str]:
    async with database.connection() as connection:
        rows = await (await connection.execute("select name from facts order by name")).fetchall()
    return [row["name"] for row in rows]


async def test_committed_at_the_end_rolled_back_on_an_error(database: Database):
    async with database.connection() as connection:
        await connection.execute("insert into facts values ('kept')")

    async def fails() -> None:
        async with database.transaction() as connection:
            await connection.execute("insert into facts values ('undone')")
            raise LookupError

    with pytest.raises(LookupError):
        await fails()
    assert await facts(database) == ["kept"]


async def test_a_session_holds_locks_and_no_transaction_until_it_ends(database: Database):
    states = "select state from pg_stat_activity where pid = %s"
    async with database.session() as session:
        await session.execute("select pg_advisory_lock(hashtext(%s))", [database.schema])
        await session.execute("insert into facts values ('at once')")
        assert await facts(database) == ["at once"]
        async with database.connection() as other:
            row = await (await other.execute(states, [session.info.backend_pid])).fetchone()
            assert row == {"state": "idle"}
            taken = await other.execute("select pg_try_advisory_lock(hashtext(%s)) as free", [database.schema])
            assert await taken.fetchone() == {"free": False}
    async with database.connection() as other:
        taken = await other.execute("select pg_try_advisory_xact_lock(hashtext(%s)) as free", [database.schema])
        assert await taken.fetchone() == {"free": True}


async def test_a_session_of_a_process_that_stands_still_loses_its_locks(
    postgres_server: EmbeddedPostgres, database: Database
):
    still = Database(postgres_server.dsn, database.schema, session_idle_seconds=0.2)
    await still.open()

    async def stands_still() -> None:
        async with still.session() as session:
            await session.execute("select pg_advisory_lock(hashtext(%s))", [database.schema])
            await asyncio.sleep(0.6)
            async with database.session() as other:
                taken = await other.execute("select pg_try_advisory_lock(hashtext(%s)) as free", [database.schema])
                assert await taken.fetchone() == {"free": True}
            await session.execute("select 1")

    with pytest.raises(DatabaseUnavailable):
        await stands_still()
    assert await facts(still) == []
    await still.close()


async def test_a_session_whose_transaction_fails_leaves_a_usable_connection(database: Database):
    async def fails() -> None:
        async with database.session() as session, session.transaction():
            await session.execute("insert into facts values ('undone')")
            await session.execute("select * from nothing")

    for _ in range(3):
        with pytest.raises(psycopg.errors.UndefinedTable):
            await fails()
    async with database.connection() as connection:
        assert not connection.autocommit
    assert await facts(database) == []


async def test_a_bug_of_ours_is_no_outage(database: Database):
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with database.connection() as connection:
            await connection.execute("select * from nothing")
    await database.ping()


async def test_a_broken_connection_is_an_outage_and_the_pool_recovers(database: Database):
    async def breaks() -> None:
        async with database.connection() as connection:
            await connection.execute("select pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(DatabaseUnavailable, match=f"^Postgres at {database.place}: ") as away:
        await breaks()
    assert isinstance(away.value, Transient)
    assert "\n" not in str(away.value)
    await database.ping()


async def test_who_waits_too_long_for_a_connection_hears_of_it(database: Database):
    async with database.connection(), database.connection():
        with pytest.raises(DatabaseUnavailable, match="Postgres at"):
            await database.ping()
    await database.ping()


async def test_a_statement_that_takes_too_long_is_cancelled(database: Database):
    with pytest.raises((DatabaseUnavailable, psycopg.errors.QueryCanceled)):
        async with database.connection() as connection:
            await connection.execute("select pg_sleep(5)")


async def test_a_transaction_that_stands_still_loses_its_locks(database: Database):
    slow = Database(database.dsn, database.schema, idle_seconds=0.1)
    await slow.open()

    async def stands_still() -> None:
        async with slow.connection() as connection:
            await connection.execute("lock table facts")
            await asyncio.sleep(0.5)
            await facts(database)  # at once, though its statements may take 0.3 s at most
            await connection.execute("insert into facts values ('late')")

    with pytest.raises(DatabaseUnavailable):
        await stands_still()
    assert await facts(slow) == []
    await slow.close()


async def test_a_closed_pool_is_an_outage(postgres_server: EmbeddedPostgres, schema: str):
    made = Database(postgres_server.dsn, schema)
    await made.open()
    await made.ping()
    await made.close()
    with pytest.raises(DatabaseUnavailable):
        await made.ping()


async def test_nobody_there(schema: str):
    port = free_port()
    made = Database(SecretStr(f"postgresql://owner:hunter22@127.0.0.1:{port}/bench"), schema)
    with pytest.raises(
        DatabaseUnavailable, match=f"^Postgres at 127.0.0.1:{port}/bench: .*set SYNTHBENCH_POSTGRES_DSN"
    ) as away:
        await made.open(patience=0.1)
    assert "hunter22" not in str(away.value)
    assert "\n" not in str(away.value)


async def test_a_wrong_password_is_told_at_once(postgres_server: EmbeddedPostgres, schema: str):
    wrong = secrets.token_hex(8)
    made = Database(
        SecretStr(f"postgresql://synthbench:{quote(wrong)}@127.0.0.1:{postgres_server.port}/postgres"), schema
    )
    async with asyncio.timeout(5):
        with pytest.raises(DatabaseUnavailable, match="password authentication failed") as refused:
            await made.open(patience=60)
    assert wrong not in str(refused.value)


@pytest.mark.parametrize("dsn", ["hunter22", "postgresql://owner:hunter22@[half/bench", "password=hunter22 nonsense=1"])
def test_what_is_no_dsn_is_a_wrong_setting(dsn: str, schema: str):
    with pytest.raises(SettingsError, match="SYNTHBENCH_POSTGRES_DSN") as refused:
        Database(SecretStr(dsn), schema)
    assert "hunter22" not in str(refused.value)
    with pytest.raises(SettingsError, match="SYNTHBENCH_POSTGRES_DSN"):
        migrate(SecretStr(dsn), [])


def test_a_place_has_neither_user_nor_password():
    assert place_of(SecretStr("postgresql://owner:hunter22@db.example:5433/bench")) == "db.example:5433/bench"
    assert place_of(SecretStr("host=db user=owner password=hunter22 dbname=bench")) == "db:5432/bench"


async def test_a_service_waits_for_its_migrations(
    postgres_server: EmbeddedPostgres, schema: str, make_package: "MakePackage", monkeypatch: pytest.MonkeyPatch
):
    package = make_package(**{"0001_a": "select 1", "0002_b": "select 2"})
    monkeypatch.setattr(module, "latest_version", lambda _schema: 2)  # pyright: ignore[reportUnknownLambdaType] - a stand-in
    early = Database(postgres_server.dsn, schema)
    with pytest.raises(
        DatabaseUnavailable, match=f"schema {schema} is at version 0 of 2; run `python -m .*migrations`"
    ):
        await early.open(patience=0.1)
    waiting = Database(postgres_server.dsn, schema)
    opening = asyncio.create_task(waiting.open())
    await asyncio.sleep(0.1)
    assert not opening.done()
    await asyncio.to_thread(migrate, postgres_server.dsn, [(schema, package)])
    await opening
    await waiting.ping()
    await waiting.close()
