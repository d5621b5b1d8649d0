"""Migrations on a real Postgres: forward only, once, and never half."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg
import pytest
from pydantic import SecretStr

from synthbench.embedded.children import free_port
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.storage import migrations, schemas
from synthbench.storage.errors import DatabaseUnavailable, MigrationError
from synthbench.storage.migrations import migrate
from synthbench.storage.schemas import installed_schemas, load

if TYPE_CHECKING:
    from conftest import MakePackage

FIRST = {"0001_first": "create table one (n int); insert into one values (1)"}
SECOND = {"0002_second": "alter table one add column text text default '100%'; update one set n = n + 1"}


def ask(postgres_server: EmbeddedPostgres, query: str) -> Sequence[tuple[object, ...]]:
    with psycopg.connect(postgres_server.dsn.get_secret_value()) as connection:
        return connection.execute(query.encode()).fetchall()


def test_each_file_is_applied_once(postgres_server: EmbeddedPostgres, schema: str, make_package: "MakePackage"):
    assert migrate(postgres_server.dsn, [(schema, make_package(**FIRST))]) == [f"{schema}/0001_first"]
    both = make_package(**FIRST, **SECOND)
    assert migrate(postgres_server.dsn, [(schema, both)]) == [f"{schema}/0002_second"]
    assert migrate(postgres_server.dsn, [(schema, both)]) == []
    assert ask(postgres_server, f"select n, text from {schema}.one") == [(2, "100%")]
    assert ask(postgres_server, f"select version, name from {schema}.schema_migrations order by 1") == [
        (1, "first"),
        (2, "second"),
    ]


def test_a_file_that_was_changed_is_refused(
    postgres_server: EmbeddedPostgres, schema: str, make_package: "MakePackage"
):
    migrate(postgres_server.dsn, [(schema, make_package(**FIRST))])
    changed = make_package(**{"0001_first": "create table two (n int)"}, **SECOND)
    with pytest.raises(MigrationError, match=f"^{schema}/0001_first was changed after it was applied; add a new"):
        migrate(postgres_server.dsn, [(schema, changed)])
    assert ask(postgres_server, f"select n from {schema}.one") == [(1,)]


def test_a_database_of_a_newer_version_is_refused_in_one_line(
    postgres_server: EmbeddedPostgres, schema: str, make_package: "MakePackage"
):
    migrate(postgres_server.dsn, [(schema, make_package(**FIRST, **SECOND))])
    with pytest.raises(MigrationError, match=f"used by a newer synth-bench: its schema {schema} has version 2, .* 1;"):
        migrate(postgres_server.dsn, [(schema, make_package(**FIRST))])
    assert ask(postgres_server, f"select n from {schema}.one") == [(2,)]


def test_a_failure_leaves_nothing_half(postgres_server: EmbeddedPostgres, schema: str, make_package: "MakePackage"):
    broken = make_package(**FIRST, **{"0002_broken": "create table two (n int);\ncreate tabel three (n int)"})
    with pytest.raises(MigrationError, match=f'^{schema}/0002_broken: syntax error at or near "tabel"$'):
        migrate(postgres_server.dsn, [(schema, broken)])
    assert ask(postgres_server, f"select count(*) from pg_tables where schemaname = '{schema}'") == [(0,)]
    assert migrate(postgres_server.dsn, [(schema, make_package(**FIRST))]) == [f"{schema}/0001_first"]


async def test_two_at_once(postgres_server: EmbeddedPostgres, schema: str, make_package: "MakePackage"):
    package = make_package(**FIRST, **SECOND)
    done = await asyncio.gather(
        *(asyncio.to_thread(migrate, postgres_server.dsn, [(schema, package)]) for _ in range(4))
    )
    assert sorted(line for lines in done for line in lines) == [f"{schema}/0001_first", f"{schema}/0002_second"]
    assert ask(postgres_server, f"select n from {schema}.one") == [(2,)]


def test_the_outbox_is_included(postgres_server: EmbeddedPostgres, schema: str, make_package: "MakePackage"):
    migrate(
        postgres_server.dsn, [(schema, make_package(**{"0001_first": "-- include: outbox\ncreate table mine (n int)"}))]
    )
    tables = ask(postgres_server, f"select tablename from pg_tables where schemaname = '{schema}' order by 1")
    assert tables == [("mine",), ("outbox",), ("schema_migrations",)]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"0002_second": ""}, "numbers must run 0001, 0002"),
        ({"0001_a": "", "0001_b": ""}, "numbers must run"),
        ({"0001_a": "", "0003_c": ""}, "numbers must run"),
        ({"first": ""}, r"first\.sql: name it 0001_what_it_does\.sql"),
    ],
)
def test_misnamed_files_are_refused(files: dict[str, str], said: str, make_package: "MakePackage"):
    with pytest.raises(MigrationError, match=said):
        load(make_package(**files))


def test_every_installed_schema_can_be_made_from_nothing(postgres_server: EmbeddedPostgres):
    installed = installed_schemas()
    assert {"scheduler", "catalogue", "quality", "diversity"} <= {name for name, _ in installed}
    with psycopg.connect(postgres_server.dsn.get_secret_value(), autocommit=True) as connection:
        connection.execute("create database whole")
    dsn = SecretStr(postgres_server.dsn.get_secret_value().rpartition("/")[0] + "/whole")
    assert len(migrate(dsn, installed)) == sum(len(load(package)) for _, package in installed)
    assert migrate(dsn, installed) == []


def test_the_command(
    postgres_server: EmbeddedPostgres, schema: str, make_package: "MakePackage", monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    package = make_package(**FIRST)
    monkeypatch.setattr(migrations, "installed_schemas", lambda: [(schema, package)])
    monkeypatch.setenv("SYNTHBENCH_POSTGRES_DSN", postgres_server.dsn.get_secret_value())
    assert (migrations.main(), migrations.main()) == (0, 0)
    assert capsys.readouterr().out == f"applied {schema}/0001_first\nup to date\n"


def test_the_command_fails_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    port = free_port()
    monkeypatch.setenv("SYNTHBENCH_POSTGRES_DSN", f"postgresql://owner:hunter22@127.0.0.1:{port}/bench")
    assert migrations.main() == 1
    said = capsys.readouterr().err
    assert said.startswith(f"migrations: no Postgres at 127.0.0.1:{port}/bench: ")
    assert said.count("\n") == 1
    assert "hunter22" not in said
    with pytest.raises(DatabaseUnavailable):
        migrate(SecretStr(f"postgresql://127.0.0.1:{port}/bench"), [])


def test_a_schema_without_migrations_needs_none():
    assert schemas.latest_version("nobody") == 0
