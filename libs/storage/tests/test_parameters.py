"""Whatever text or JSON a statement is given, Postgres takes it, by every way that a parameter has."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb

from fuzzing import HOSTILE_JSON, HOSTILE_TEXT, fuzz
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.storage.database import Database
from synthbench.storage.migrations import migrate
from synthbench.storage.parameters import adapt_parameters, column_json, column_text

if TYPE_CHECKING:
    from conftest import MakePackage


@pytest.fixture(scope="module")
def connection(postgres_server: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_server.dsn.get_secret_value(), autocommit=True) as opened:
        opened.row_factory = dict_row  # pyright: ignore[reportAttributeAccessIssue] - rows of any shape
        adapt_parameters(opened)
        opened.execute("create temporary table kept (text text, json jsonb, texts text[])")
        yield opened


@fuzz(150, text=HOSTILE_TEXT)
def test_any_text_is_taken_as_parameter_array_binary_and_by_copy(connection: psycopg.Connection[Any], text: str):
    expected = column_text(text)
    values = {"text": text, "binary": text, "texts": [text, "b"]}
    query = "select %(text)s::text as a, %(texts)s::text[] as b, %(binary)b::text as c, array[%(text)s, 'x'] as d"
    found = connection.execute(query, values).fetchone()
    assert found == {"a": expected, "b": [expected, "b"], "c": expected, "d": [expected, "x"]}
    connection.execute("truncate kept")
    with connection.cursor().copy("copy kept (text, texts) from stdin") as copy:
        copy.write_row((text, [text]))
    assert connection.execute("select text, texts from kept").fetchone() == {"text": expected, "texts": [expected]}


@fuzz(150, value=HOSTILE_JSON)
def test_any_json_is_taken_by_jsonb_and_json(connection: psycopg.Connection[Any], value: Any):
    query = "select %s = %s::jsonb and %s::jsonb = %s::text::jsonb as same"
    given = (Jsonb(value), Json(value), Json(value), column_json(value))
    assert connection.execute(query, given).fetchone() == {"same": True}


def test_nul_is_shown_as_its_symbol_and_escaped_text_stays_as_it_is():
    assert column_text("a\0b") == "a\u2400b"
    assert column_json({"a\0": ["\0", r"\u0000", "\\\0", float("nan")]}) == (
        '{"a\u2400": ["\u2400", "\\\\u0000", "\\\\\u2400", null]}'
    )


async def test_the_pool_of_a_service_takes_them(
    postgres_server: EmbeddedPostgres, schema: str, make_package: "MakePackage"
):
    package = make_package(**{"0001_facts": "create table facts (name text, body jsonb)"})
    await asyncio.to_thread(migrate, postgres_server.dsn, [(schema, package)])
    database = Database(postgres_server.dsn, schema)
    await database.open()
    try:
        async with database.connection() as connection:
            await connection.execute("insert into facts values (%s, %s)", ("\0\ud800", Jsonb({"\0": "\udfff"})))
            rows = await (await connection.execute("select * from facts")).fetchall()
    finally:
        await database.close()
    assert rows == [{"name": "\u2400\U0010d800", "body": {"\u2400": "\U0010dfff"}}]
