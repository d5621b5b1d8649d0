"""A catalogue of its own for each test, and the store beside it."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
import structlog
from pydantic import SecretStr

from synthbench.collector.api import build_api
from synthbench.collector.archive import Archive
from synthbench.collector.settings import CollectorSettings
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database
from synthbench.storage.migrations import migrate_all


@pytest.fixture
async def database(dsn: SecretStr) -> AsyncGenerator[Database]:
    """With every migration applied."""
    await asyncio.to_thread(migrate_all, dsn)
    made = Database(dsn, "catalogue")
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def store(tmp_path: Path) -> FilesStore:
    return FilesStore(tmp_path)


@pytest.fixture
async def api(database: Database, store: FilesStore) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the HTTP API."""
    archive = Archive(database, store, 0, structlog.get_logger())
    transport = httpx.ASGITransport(build_api(CollectorSettings(), database, store, archive))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client
