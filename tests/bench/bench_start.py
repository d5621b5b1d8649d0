"""One command from cold to summary, beside the floor: the servers alone, and as many bare Python processes as ours."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthbench.embedded.nats import EmbeddedNats
from synthbench.embedded.postgres import EmbeddedPostgres

from .report import QUICK, Report

ROUNDS = 1 if QUICK else 5
PROCESSES = 8  # six services, the supervisor, the command
IMPORTS = "import asyncio, pydantic, nats, faststream, psycopg, httpx, structlog, opentelemetry.sdk.trace"


def main() -> None:
    report = Report("start")
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="synthbench-bench-", ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o711)
            began = time.perf_counter()
            asyncio.run(servers(Path(folder)))
            report.add("floor: NATS and Postgres on new folders", (time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            bare = [subprocess.Popen([sys.executable, "-c", IMPORTS]) for _ in range(PROCESSES)]
            assert [process.wait(60) for process in bare] == [0] * PROCESSES
            report.add(f"floor: {PROCESSES} processes that import our libraries", (time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            generate(Path(folder, "data"))
            report.add("generate-trajectory, cold to summary", (time.perf_counter() - began) * 1000)
    seconds = report.p50("generate-trajectory, cold to summary") / 1000
    floor = sum(report.p50(case) for case in report.samples if case.startswith("floor")) / 1000
    report.target("seconds_p50", seconds, "<= 8")
    report.target("over_floor", seconds / floor, "<= 2.5")
    report.finish(["synth-bench-cli"])


async def servers(folder: Path) -> None:
    nats = EmbeddedNats(folder / "nats", folder / "nats.log")
    postgres = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", "secret-pass")
    await asyncio.gather(nats.start(), postgres.start())
    await asyncio.gather(nats.stop(), postgres.stop())


def generate(folder: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")}
    env |= {"SYNTHBENCH_DATA_DIR": str(folder), "SYNTHBENCH_ENGINES": "bubblewrap"}
    command = [sys.executable, "-m", "synthbench.cli", "generate-trajectory", "--task", "simple-task-001"]
    subprocess.run(command, env=env, check=True, timeout=120, stdout=subprocess.DEVNULL)
    time.sleep(2)  # the stack ends by itself; the next round begins on a quiet machine
