"""Whole stacks, started as a user starts them."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from synthbench.cli.endpoints import Endpoints
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.errors import EngineUnavailable

COMMAND = [sys.executable, "-m", "synthbench.cli"]


@cache
def engine_of_tests() -> str:
    """What SYNTHBENCH_TEST_ENGINE names, else bubblewrap where it works, whatever else is installed here."""

    async def probed(root: Path) -> str:
        engine = load_engine("bubblewrap", root=root)
        try:
            return (await engine.probe()).engine
        except EngineUnavailable:
            return "process"
        finally:
            await engine.aclose()

    if named := os.environ.get("SYNTHBENCH_TEST_ENGINE"):
        return named
    with tempfile.TemporaryDirectory(prefix="synthbench-e2e-") as folder:
        Path(folder).chmod(0o711)
        return asyncio.run(probed(Path(folder, "sandboxes")))


class Stack:
    """An embedded stack in a data folder of its own."""

    command = COMMAND

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")}
        self.env |= {"SYNTHBENCH_DATA_DIR": str(folder), "SYNTHBENCH_ENGINES": engine_of_tests(), **settings}

    def run(self, *arguments: str, timeout: float = 100, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments], env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.last_words()}"
            )
        return done

    def json(self, *arguments: str) -> list[dict]:
        return json.loads(self.run(*arguments, "--json").stdout)

    def endpoints(self) -> Endpoints:
        found = Endpoints.load(self.folder / "run" / "stack.json")
        assert found is not None
        return found

    def status(self) -> dict:
        return json.loads((self.folder / "run" / "status.json").read_text())

    def down(self) -> None:
        self.run("down", "--now", check=False)

    def last_words(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text()[-600:]}" for path in sorted((self.folder / "logs").glob("*.log"))
        )

    def artifacts(self) -> Iterator[Path]:
        yield from (self.folder / "artifacts").rglob("*")


@pytest.fixture(scope="session")
def data_folders() -> Iterator[Path]:
    """Not pytest's tmp_path: Postgres' own user and sandboxes must be able to enter it."""
    with tempfile.TemporaryDirectory(prefix="synthbench-e2e-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="module")
def stack(data_folders: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack that stays for a module; `STACK_SETTINGS` of the module go into its environment."""
    settings = getattr(request.module, "stack_settings", dict)()
    made = Stack(data_folders / f"{request.module.__name__.rpartition('.')[2]}-{time.time_ns()}", **settings)
    made.run("up")
    yield made
    made.down()


@pytest.fixture(scope="session")
def make_stack():
    return Stack
