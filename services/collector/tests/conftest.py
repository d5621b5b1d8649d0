"""A catalogue of its own for each test, and the store beside it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
import structlog
from pydantic import SecretStr

from synthbench.collector.api import build_api
from synthbench.collector.archive import CatalogueArchive
from synthbench.collector.settings import CollectorSettings
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database


@pytest.fixture
def dsn(migrated_dsn: SecretStr) -> SecretStr:
    """With every migration applied."""
    return migrated_dsn


@pytest.fixture
async def database(dsn: SecretStr) -> AsyncGenerator[Database]:
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
    archive = CatalogueArchive(database, store, 0, structlog.get_logger())
    transport = httpx.ASGITransport(build_api(CollectorSettings(), database, store, archive))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client
