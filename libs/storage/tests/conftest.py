"""One real Postgres for the session, and packages of migrations made by tests."""

import itertools
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from synthbench.cli.embedded.postgres import EmbeddedPostgres

PASSWORD = "pass-word-1"
MakePackage = Callable[..., str]
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither variables of the developer's shell nor a synth-bench.toml reach a test."""
    for name in [name for name in os.environ if name.startswith("SYNTHBENCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def servers() -> Iterator[Path]:
    """Not pytest's tmp_path: Postgres' own user must be able to enter it."""
    with tempfile.TemporaryDirectory(prefix="synthbench-storage-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres(servers: Path) -> AsyncGenerator[EmbeddedPostgres]:
    server = EmbeddedPostgres(servers / "postgres", servers / "postgres.log", PASSWORD, durable=False)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def schema() -> str:
    """A name that nobody else uses."""
    return f"s{uuid4().hex[:10]}"


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePackage:
    """Make an importable package with these files in its `migrations` folder; return its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(**files: str) -> str:
        name = f"migrated_{os.getpid()}_{next(_numbers)}"
        folder = tmp_path / name / "migrations"
        folder.mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
        for file, text in files.items():
            (folder / f"{file}.sql").write_text(text)
        return name

    return make
