"""Databases for single tests, copied from templates that are migrated once."""

import itertools
import os
from collections.abc import Iterable

import psycopg
from psycopg import sql
from pydantic import SecretStr

from synthbench.storage.migrations import migrate

_numbers = itertools.count()


class Databases:
    """Makes and drops databases of one server.

    Args:
        owner: DSN of a role that may make databases.
    """

    def __init__(self, owner: SecretStr) -> None:
        self._owner = owner
        self._templates: dict[frozenset[tuple[str, str]], str] = {}

    def create(self, schemas: Iterable[tuple[str, str]] = ()) -> SecretStr:
        """Make a database with these schemas, pairs of schema and the package of its migrations; return its DSN."""
        wanted = frozenset(schemas)
        if wanted and wanted not in self._templates:
            name = self._copy_of("template1")
            migrate(self._dsn(name), sorted(wanted))
            self._templates[wanted] = name
        return self._dsn(self._copy_of(self._templates.get(wanted, "template1")))

    def drop(self, dsn: SecretStr) -> None:
        """Remove a database, whoever is still connected to it."""
        name = sql.Identifier(dsn.get_secret_value().rpartition("/")[2])
        self._execute(sql.SQL("drop database {} with (force)").format(name))

    def _copy_of(self, template: str) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        # Copying files writes no log of their content: a third of the work where nothing is synced to disk.
        copy = sql.SQL("create database {} template {} strategy file_copy")
        self._execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def _dsn(self, name: str) -> SecretStr:
        return SecretStr(f"{self._owner.get_secret_value().rpartition('/')[0]}/{name}")

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._owner.get_secret_value(), autocommit=True) as connection:
            connection.execute(statement)
