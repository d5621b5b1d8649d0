"""Lists, filters and single trajectories of a large catalogue over its HTTP API, beside a small one in the same run."""

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import structlog

from synthbench.collector.api import build_api
from synthbench.collector.archive import CatalogueArchive
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.ids import sha256_digest
from synthbench.datasets.formats.foreign import Source, read
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database
from synthbench.storage.migrations import migrate_all
from synthbench.storage.trajectories import encode

from .catalogue_rows import FACETS, statements
from .report import QUICK, Report

SMALL, LARGE = (1_000, 5_000) if QUICK else (10_000, 1_000_000)
TIMES = 3 if QUICK else 30
OTHERS = {"/v1/attempts": "attempts", "/v1/attempts?state=open": "attempts", "/v1/tasks": "tasks"}
"""Further lists, and what their rows are called."""
LONG_STEPS, STEP_BYTES = (20, 50_000) if QUICK else (1000, 100_000)


@asynccontextmanager
async def catalogue(dsn_owner: EmbeddedPostgres, store: FilesStore, rows: int) -> AsyncGenerator[httpx.AsyncClient]:
    """One of so many trajectories, and five steps each, on an emptied schema."""
    await asyncio.to_thread(migrate_all, dsn_owner.dsn)
    database = Database(dsn_owner.dsn, "catalogue", statement_seconds=1200)
    await database.open()
    async with database.connection() as connection:
        await connection.execute("truncate trajectories, trajectory_words, attempts, steps")
        for statement in statements(rows, steps=True):
            await connection.execute(cast("Any", statement))
    async with database.connection() as connection:
        await connection.set_autocommit(True)
        await connection.execute("vacuum analyze")
        await connection.set_autocommit(False)
    app = build_api(CollectorSettings(), database, store, CatalogueArchive(database, store, 0, structlog.get_logger()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", timeout=60) as client:
        yield client
    await database.close()


async def timed(client: httpx.AsyncClient, path: str, params: dict[str, Any] | None = None) -> tuple[float, Any]:
    """Milliseconds, and the answer."""
    began = time.perf_counter()
    answer = await client.get(path, params=params)
    took = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer.text
    return took, answer.json()


async def stored(client: httpx.AsyncClient, store: FilesStore, steps: int, length: int) -> str:
    """The id of a trajectory of so many steps of so many bytes, imported."""
    messages, answer = [{"role": "user", "content": "Mend it."}], "line\n" * (length // 5)
    for number in range(steps):
        messages.append({"role": "assistant", "content": f"turn {number}"})
        messages.append({"role": "user", "content": answer})
    made, _ = read(messages, Source("long.json", sha256_digest(f"{steps} {length}".encode())))
    artifact = await store.put(encode(made))
    return (await client.post("/v1/imports", json=artifact.to_dict())).json()["trajectory_id"]


async def measured(folder: Path, report: Report) -> None:
    postgres = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", "secret-pass", durable=False)
    store = FilesStore(folder / "artifacts")
    await store.prepare()
    await postgres.start()
    worst: dict[int, float] = {}
    try:
        for rows in (SMALL, LARGE):
            async with catalogue(postgres, store, rows) as client:
                highs: list[float] = []
                for text in FACETS:
                    case = f"{rows:,} rows: {text or 'everything'}"
                    for _ in range(TIMES):
                        milliseconds, answer = await timed(client, "/v1/trajectories", {"filter": text})
                        assert answer["trajectories"], text
                        report.add(case, milliseconds)
                    highs.append(sorted(report.samples[case])[int(TIMES * 0.95) - 1])
                for path, key in OTHERS.items():
                    case = f"{rows:,} rows: {path}"
                    for _ in range(TIMES):
                        milliseconds, answer = await timed(client, path)
                        assert answer[key], path
                        report.add(case, milliseconds)
                    highs.append(sorted(report.samples[case])[int(TIMES * 0.95) - 1])
                worst[rows] = max(highs)
                short = await stored(client, store, 10, 2000)
                for _ in range(TIMES):
                    report.add(f"{rows:,} rows: one trajectory", (await timed(client, f"/v1/trajectories/{short}"))[0])
        async with catalogue(postgres, store, SMALL) as client:
            long = await stored(client, store, LONG_STEPS, STEP_BYTES)
            short = await stored(client, store, 10, STEP_BYTES)
            for name, one, start in (("short", short, 5), ("long", long, LONG_STEPS // 2)):
                for _ in range(TIMES):
                    wanted = f"/v1/trajectories/{one}/steps", {"start": start, "limit": 1}
                    report.add(f"one step of a {name} one", (await timed(client, *wanted))[0])
    finally:
        await postgres.stop()
    report.facts["steps in the large one"] = LARGE * 5
    report.facts["megabytes of the long trajectory"] = LONG_STEPS * STEP_BYTES // 1_000_000
    report.facts["slowest p95 of a list in the small one, ms"] = round(worst[SMALL], 1)
    report.target("slowest_list_p95_ms", worst[LARGE], "<= 100")
    one = [report.p50(f"{rows:,} rows: one trajectory") for rows in (LARGE, SMALL)]
    report.target("one_trajectory_large_over_small", one[0] / one[1], "<= 1.5")
    report.target(
        "one_step_long_over_short", report.p50("one step of a long one") / report.p50("one step of a short one"), "<= 2"
    )


def main() -> None:
    report = Report("catalogue")
    with tempfile.TemporaryDirectory(prefix="synthbench-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        asyncio.run(measured(Path(folder), report))
    report.finish(["synth-bench-collector", "psycopg"])
