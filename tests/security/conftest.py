"""Both engines that isolate."""

import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.errors import EngineUnavailable
from synthbench.sandbox.protocol import SandboxEngine

ENGINES = [pytest.param("bubblewrap"), pytest.param("docker", marks=pytest.mark.docker)]


@asynccontextmanager
async def usable(name: str) -> AsyncGenerator[SandboxEngine]:
    """An engine that works here; the test is skipped elsewhere, though not in CI."""
    with tempfile.TemporaryDirectory(prefix="synthbench-security-") as folder:
        Path(folder).chmod(0o711)
        made = load_engine(name, root=Path(folder, "sandboxes"))
        try:
            await made.probe()
        except EngineUnavailable as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(error))
        yield made
        await made.aclose()


@pytest_asyncio.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest) -> AsyncGenerator[SandboxEngine]:
    async with usable(request.param) as made:
        yield made


@pytest_asyncio.fixture
async def tests_engine(engine: SandboxEngine) -> AsyncGenerator[SandboxEngine | None]:
    """What the executor takes for hidden tests beside code in a container."""
    if engine.name != "docker":
        yield None
        return
    async with usable("bubblewrap") as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ENGINES)
async def engine_of_module(request: pytest.FixtureRequest) -> AsyncGenerator[SandboxEngine]:
    async with usable(request.param) as made:
        yield made
