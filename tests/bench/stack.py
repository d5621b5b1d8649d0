"""The whole product under a bench: started on a new data folder, fed over its bus, looked at from outside."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import psycopg

from synthbench.client.endpoints import Endpoints
from synthbench.embedded.children import free_port
from synthbench.tasks.library import load_library_task

TASK = "simple-task-001"
_LONGEST = 1200.0


def commands() -> list[str]:
    """Five commands that solve the task, as a model would write them; the sixth step submits."""
    files = load_library_task(TASK).solution_changes()
    writes = " && ".join(
        f"echo {base64.b64encode(data).decode()} | base64 -d > {path}"
        for path, data in files.items()
        if data is not None
    )
    return ["ls -R", "cat billing/*.py", writes, "python3 -m unittest -q 2>&1 | tail -3", "git status 2>&1 | head -3"]


def turns() -> list[Any]:
    """The same as what our model says, turn by turn."""
    return [[["bash", {"command": one}]] for one in commands()] + [[["submit", {}]]]


@contextmanager
def upstream(folder: Path, name: str, script: list[Any]) -> Generator[str]:
    """A model of zero latency that says `script`; yields its address."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(script))
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("upstream.py")), str(port), str(path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@dataclass
class Stack:
    """One that runs."""

    folder: Path
    status: dict[str, Any]
    endpoints: Endpoints
    connection: psycopg.Connection
    submitted: int = field(default=0)

    def make(self, count: int) -> None:
        """Have so many trajectories made, and wait until all are curated."""
        asyncio.run(self._submit(count))
        deadline = time.monotonic() + _LONGEST
        while (done := self.one("select count(*) from scheduler.rollouts where state = 'curated'")) < self.submitted:
            assert time.monotonic() < deadline, f"{done} of {self.submitted} curated"
            time.sleep(0.05)

    async def _submit(self, count: int) -> None:
        for start in range(0, count, 100):
            await self.publish(
                {"task": TASK, "route": "bench-model", "samples": min(100, count - start),
                 "seed": self.submitted + start, "allow_unknown_price": True}
            )  # fmt: skip
        self.submitted += count

    async def publish(self, body: dict[str, Any]) -> None:
        """Submit a task as a client does; returns when the bus has stored it."""
        client = await nats.connect(
            self.endpoints.nats_url, user=self.endpoints.nats_user,
            password=self.endpoints.nats_password.get_secret_value(), inbox_prefix=b"_INBOX.client",
        )  # fmt: skip
        await client.jetstream().publish("task.submitted", json.dumps(body).encode())
        await client.close()

    def one(self, query: str) -> int:
        """The only value of a query."""
        row = self.connection.execute(query).fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue] - our own text
        assert row is not None
        return row[0]

    def all_good(self) -> None:
        """Everything was solved, verified twice, scored and curated."""
        good = self.one(
            "select count(*) filter (where outcome = 'solved' and verdict = 'accept' and curation is not null) "
            "from catalogue.trajectories"
        )
        assert good == self.submitted, f"{good} of {self.submitted} were solved, verified twice, scored and curated"

    def each(self, read: Callable[[Path], float]) -> dict[str, float]:
        """Something of each process's folder in /proc."""
        found: dict[str, float] = {}
        for name, pid in self.status["processes"].items():
            try:
                found[name] = read(Path(f"/proc/{pid}"))
            except OSError:
                continue
        return found


def memory_mb(process: Path) -> float:
    """Resident, for `Stack.each`."""
    lines = (process / "status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@contextmanager
def running(folder: Path, engine: str, permits: int, url: str) -> Generator[Stack]:
    """Start one on a new folder; it is taken down at the end."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")}
    env |= {
        "SYNTHBENCH_DATA_DIR": str(folder), "SYNTHBENCH_ENGINES": engine,
        "SYNTHBENCH_PERMITS": str(permits), "SYNTHBENCH_READY_LIMIT": "16",
        "SYNTHBENCH_UPSTREAM_BASE_URL": url, "SYNTHBENCH_UPSTREAM_API_KEY": "none",
    }  # fmt: skip
    command = [sys.executable, "-m", "synthbench.cli"]
    subprocess.run([*command, "up"], env=env, check=True, timeout=120, stderr=subprocess.DEVNULL)
    try:
        status = json.loads((folder / "run/status.json").read_text())
        password = (folder / "secrets/postgres").read_text()
        endpoints = Endpoints.load(folder / "run/stack.json")
        assert endpoints is not None
        dsn = f"postgresql://synthbench:{password}@127.0.0.1:{status['postgres_port']}/postgres"
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield Stack(folder, status, endpoints, connection)
    finally:
        subprocess.run([*command, "down", "--now"], env=env, check=False, timeout=120, stderr=subprocess.DEVNULL)
