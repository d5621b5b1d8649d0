"""A database with every schema, and a connection to it."""

from collections.abc import AsyncGenerator

import psycopg
import pytest
from psycopg.rows import DictRow
from pydantic import SecretStr

from synthbench.operations.operator import connected


@pytest.fixture
def dsn(migrated_dsn: SecretStr) -> SecretStr:
    """With the schemas of all services."""
    return migrated_dsn


@pytest.fixture
async def connection(dsn: SecretStr) -> AsyncGenerator[psycopg.AsyncConnection[DictRow]]:
    async with connected(dsn) as made:
        yield made
