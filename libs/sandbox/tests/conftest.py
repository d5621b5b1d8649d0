"""Engines to test, on a folder that other users can enter."""

import os
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.errors import EngineUnavailable
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec


@pytest.fixture
def root():
    """Not pytest's tmp_path: its parents are closed to the sandbox's uid."""
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder, "sandboxes")


async def usable(name: str, root: Path) -> SandboxEngine:
    """Return a working engine; where it cannot work the test is skipped, but never in CI."""
    engine = load_engine(name, root=root)
    try:
        await engine.probe()
    except EngineUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    return engine


@pytest.fixture(params=[pytest.param("docker", marks=pytest.mark.docker), "bubblewrap", "process"])
async def engine(request: pytest.FixtureRequest, root: Path) -> AsyncGenerator[SandboxEngine]:
    found = await usable(request.param, root)
    yield found
    await found.aclose()


@pytest.fixture
async def bubblewrap(root: Path) -> AsyncGenerator[SandboxEngine]:
    found = await usable("bubblewrap", root)
    yield found
    await found.aclose()


@pytest.fixture
async def sandbox(engine: SandboxEngine) -> AsyncGenerator[Sandbox]:
    made = await engine.create(SandboxSpec(owner="test"))
    yield made
    await made.close()
