"""Whole stacks, started as a user starts them."""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from in_process import run_command
from synthbench.client.endpoints import Endpoints
from synthbench.embedded.datadir import DataDir
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.errors import EngineUnavailable

COMMAND = [sys.executable, "-m", "synthbench.cli"]
TOKENS = {role: f"the token of a {role}" for role in ("viewer", "reviewer", "operator", "admin")}
"""Of the shared stack's API, by role, from the least to the most."""
KEY = "sk-upstream-secret-0123456789"
"""Of `upstream.py`."""


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


def token_lines() -> str:
    """The tokens as a setting: names are a-ROLE."""
    digests = {role: hashlib.sha256(token.encode()).hexdigest() for role, token in TOKENS.items()}
    return "\n".join(f"a-{role}:{role}:{digest}" for role, digest in digests.items())


class Stack:
    """An embedded stack in a data folder of its own."""

    command = COMMAND

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")}
        self.env |= {"SYNTHBENCH_DATA_DIR": str(folder), "SYNTHBENCH_ENGINES": engine_of_tests(), **settings}

    def run(self, *arguments: str, timeout: float = 100, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in a process of its own."""
        done = subprocess.run(
            [*COMMAND, *arguments], env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )
        return self._checked(done) if check else done

    def _checked(self, done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
        assert done.returncode == 0, (
            f"{done.args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.last_words()}"
        )
        return done

    def ask(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The same in this process, which a running stack is asked by for a tenth of the price: `run_command`."""
        done = run_command(arguments, self.env)
        return self._checked(done) if check else done

    def json(self, *arguments: str) -> list[dict]:
        return json.loads(self.ask(*arguments, "--json").stdout)

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


@pytest.fixture(scope="session")
def stack(data_folders: Path) -> Iterator[Stack]:
    """One for all tests that neither kill nor measure it; each asks for its own things in it (`one_stack`)."""
    agents = data_folders / "agents"
    agents.mkdir()
    made = Stack(
        data_folders / "shared", SYNTHBENCH_CLIENTS="client,mallory", SYNTHBENCH_API_TOKENS=token_lines(),
        SYNTHBENCH_AGENTS_ROOT=os.environ.get("SYNTHBENCH_TEST_AGENTS", str(agents)),
    )  # fmt: skip
    made.run("up")
    yield made
    made.down()


@contextmanager
def upstream(folder: Path, mode: str = "solve") -> Generator[str]:
    """A provider in a process of its own, `upstream.py`; yields its address."""
    port_file = folder / f"port-{mode}-{time.time_ns()}"
    process = subprocess.Popen([sys.executable, Path(__file__).with_name("upstream.py"), port_file, mode])
    try:
        deadline = time.monotonic() + 30
        while not port_file.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port_file.read_text()}/v1"
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Provided:
    """A stack before a provider, and the trajectory of the command that started it."""

    stack: Stack
    url: str
    row: dict


@pytest.fixture(scope="session")
def provided(data_folders: Path) -> Iterator[Provided]:
    """Started by a command that names provider and key. It stays, because this process is a client of it, too."""
    made = Stack(data_folders / "provided", MY_KEY=KEY, WRONG_KEY="sk-wrong", SYNTHBENCH_MONEY_PAUSE_SECONDS="1")
    with upstream(data_folders) as url, DataDir(made.folder).shared("clients"):
        words = ["--task", "simple-task-001", "--base-url", url, "--api-key-env", "MY_KEY", "--model", "gpt-4o-mini"]
        (row,) = json.loads(made.run("generate-trajectory", *words, "--json").stdout)
        yield Provided(made, url, row)
        made.down()


@pytest.fixture(scope="session")
def make_stack():
    return Stack
