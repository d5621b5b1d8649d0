"""The parser of .sql files."""

import pytest

from synthbench.storage.queries import Queries, parse


def test_statements_by_name():
    text = "-- what this file is for\n\n-- name: one\n-- why\nselect 1;\n\n--  name:  two \nselect ';' as semicolon\n"
    assert parse(text, "f.sql") == {"one": "-- why\nselect 1", "two": "select ';' as semicolon"}


def test_sql_without_a_name_is_refused():
    with pytest.raises(ValueError, match=r"f\.sql: SQL before the first `-- name:` line"):
        parse("select 1;\n-- name: one\nselect 2;", "f.sql")


def test_a_doubled_name_is_refused():
    with pytest.raises(ValueError, match=r"f\.sql: defined twice: one"):
        parse("-- name: one\nselect 1;\n-- name: two\nselect 1;\n-- name: one\nselect 2;", "f.sql")


def test_it_is_a_mapping():
    queries = Queries({"one": "select 1"})
    assert (dict(queries), len(queries), "two" in queries) == ({"one": "select 1"}, 1, False)


def test_a_package_brings_its_own():
    loaded = Queries.load("synthbench.scheduler.adapters", "overviews.sql")
    assert len(loaded) > 0
    assert all(text.strip() and not text.endswith(";") for text in loaded.values())
