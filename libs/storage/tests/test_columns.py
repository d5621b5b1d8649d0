"""Every text, jsonb and numeric column of every service's schema takes whatever a record of ours can hold."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Jsonb

from fuzzing import HOSTILE_JSON, HOSTILE_NUMBER, HOSTILE_TEXT, fuzz
from synthbench.contracts.model import Record
from synthbench.contracts.numbers import Count, Real, SmallCount
from synthbench.contracts.text import JsonText, Name
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.storage.migrations import migrate_all
from synthbench.storage.parameters import adapt_parameters

_COLUMNS = """
select table_schema as schema, table_name as table, column_name as column, data_type as type,
       exists (select 1 from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
               where i.indrelid = format('%I.%I', table_schema, table_name)::regclass
                 and a.attname = column_name) as indexed
from information_schema.columns join information_schema.tables using (table_schema, table_name)
where table_schema not in ('information_schema', 'pg_catalog', 'public') and table_type = 'BASE TABLE'
"""
_OF_OURS = {"uuid", "boolean", "timestamp with time zone", "bytea", "tsvector"}
"""Types that take no foreign text or number: psycopg gets UUID, bool, datetime and bytes for them."""


class Values(Record):
    """What a row may be made of: the types of records' fields."""

    name: Name
    text: JsonText
    small: SmallCount
    count: Count
    real: Real


@pytest.fixture(scope="module")
def connection(postgres_server: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    migrate_all(postgres_server.dsn)
    with psycopg.connect(postgres_server.dsn.get_secret_value(), autocommit=True) as opened:
        adapt_parameters(opened)
        yield opened


@pytest.fixture(scope="module")
def columns(connection: psycopg.Connection[Any]) -> list[tuple[str, str, str, str, bool]]:
    found = connection.execute(_COLUMNS).fetchall()
    assert {schema for schema, *_ in found} >= {"scheduler", "catalogue", "ledger", "quality", "diversity"}
    for number, (schema, table, column, kind, indexed) in enumerate(found):
        # A table for each column, with its index: an insert into the real one would need all others.
        name = sql.Identifier(f"column_{number}")
        of = sql.SQL("create temporary table {} as select {} as value from {} limit 0")
        connection.execute(of.format(name, sql.Identifier(column), sql.Identifier(schema, table)))
        if indexed and kind != "tsvector":
            connection.execute(sql.SQL("create index on {} (value)").format(name))
    return found


@fuzz(
    25,
    name=HOSTILE_TEXT,
    text=HOSTILE_TEXT,
    json=HOSTILE_JSON,
    whole=st.integers() | st.just(10**300),
    real=HOSTILE_NUMBER,
)
def test_every_column_takes_any_value_of_the_type_that_records_have_for_it(
    connection: psycopg.Connection[Any],
    columns: list[tuple[str, str, str, str, bool]],
    name: str,
    text: str,
    json: Any,
    whole: int,
    real: float,
):
    values = Values.model_validate({"name": name, "text": text, "small": whole, "count": whole, "real": real})
    given: dict[str, Any] = {
        "jsonb": Jsonb(json),
        "integer": values.small,
        "bigint": values.count,
        "double precision": values.real,
    }
    with connection.pipeline():
        for number, (schema, table, column, kind, indexed) in enumerate(columns):
            if kind in _OF_OURS:
                continue
            value = (values.name if indexed else values.text) if kind == "text" else given.get(kind)
            assert value is not None, f"{schema}.{table}.{column} is a {kind}: say what bounds it"
            statement = sql.SQL("insert into {} values (%s)").format(sql.Identifier(f"column_{number}"))
            connection.execute(statement, (value,))
