"""A database with every schema, and a connection to it."""

import asyncio
from collections.abc import AsyncGenerator

import psycopg
import pytest
from psycopg.rows import DictRow
from pydantic import SecretStr

from synthbench.cli.operator import connected
from synthbench.storage.migrations import migrate_all


@pytest.fixture
async def connection(dsn: SecretStr) -> AsyncGenerator[psycopg.AsyncConnection[DictRow]]:
    await asyncio.to_thread(migrate_all, dsn)
    async with connected(dsn) as made:
        yield made
