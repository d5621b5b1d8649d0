"""Steps of 2 KB from the bus into Postgres, beside COPY of the same rows into the same table."""

import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import nats
import psycopg

from synthbench.contracts.ids import uuid7

from .collectors import Servers, fill, publish, servers, steps_of
from .report import QUICK, Report
from .stack import memory_mb

STEPS = 2_000 if QUICK else 60_000
ROUNDS = 1 if QUICK else 3
REPLICAS = (1, 2) if QUICK else (1, 2, 4)
LONG = 0 if QUICK else 1_000_000
PACED = 200 if QUICK else 6_000
A_SECOND = 200
PER_ATTEMPT = 10
COUNT = "select count(*) from steps"


def raw_copy(place: Servers, count: int) -> float:
    """Rows a second of COPY, with the rows made before."""
    now = datetime.now(UTC)
    rows = [
        (now, body.rollout_id, body.attempt, body.step.index, body.submission_id, body.step.digest,
         body.step.model_dump_json())
        for _ in range(count // PER_ATTEMPT)
        for body in steps_of(uuid7(), PER_ATTEMPT)
    ]  # fmt: skip
    with place.connect() as connection:
        began = time.monotonic()
        with connection.cursor().copy(
            "copy steps (attempt_at, rollout_id, attempt, index, submission_id, digest, body) from stdin"
        ) as copy:
            for row in rows:
                copy.write_row(row)
        return count / (time.monotonic() - began)


async def drained(place: Servers, count: int, replicas: int) -> float:
    """Steps a second from the stream into the table; replicas start on a full stream, their start-up left out.

    A step leaves the stream when it is acknowledged, and it is acknowledged when it is in the table. Asking the stream
    costs little; counting a table of a million rows again and again takes a core from those that are measured.
    """
    before = place.count(COUNT)
    assert await fill(place.nats, count // PER_ATTEMPT, PER_ATTEMPT) == count
    await asyncio.gather(*(place.start_collector() for _ in range(replicas)))
    began, left = await place.until_left(count - 1, 60)
    ended, _ = await place.until_left(0, 600)
    await place.stop_collectors()
    assert place.count(COUNT) == before + count
    return left / (ended - began)


async def delays(place: Servers) -> list[float]:
    """Milliseconds from publishing a step until somebody else sees its row, at a steady pace."""
    await place.start_collector()
    client = await nats.connect(place.nats.url)
    before = place.count(COUNT)
    await publish(client, list(steps_of(uuid7(), 1)))
    await place.until(COUNT, before + 1, 60)
    sent: dict[tuple[UUID, int], float] = {}
    found: list[float] = []
    ready = asyncio.Event()

    async def watch() -> None:
        async with await psycopg.AsyncConnection.connect(
            place.dsn, autocommit=True, options="-c search_path=catalogue"
        ) as connection:
            while sent or not ready.is_set():
                wanted = list({rollout for rollout, _ in sent})
                rows = await connection.execute(
                    "select rollout_id, index from steps where rollout_id = any(%s)", [wanted]
                )
                there, now = await rows.fetchall(), time.monotonic()
                found.extend((now - at) * 1000 for row in there if (at := sent.pop((row[0], row[1]), None)) is not None)
                await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    began = time.monotonic()
    for number, body in enumerate(body for _ in range(PACED // PER_ATTEMPT) for body in steps_of(uuid7(), PER_ATTEMPT)):
        await asyncio.sleep(max(0.0, began + number / A_SECOND - time.monotonic()))
        sent[body.rollout_id, body.step.index] = time.monotonic()
        await publish(client, [body])
    ready.set()
    await asyncio.wait_for(watching, 60)
    await client.close()
    await place.until_left(0, 60)
    await place.stop_collectors()
    return found


async def memory(place: Servers, count: int) -> tuple[float, float]:
    """Megabytes of a collector after a tenth of so many steps, and after all."""
    collector = await place.start_collector()
    before, slice_, found = place.count(COUNT), count // 10, list[float]()
    for _ in range(10):
        await fill(place.nats, slice_ // PER_ATTEMPT, PER_ATTEMPT)
        await place.until_left(0, 600)
        found.append(memory_mb(Path(f"/proc/{collector.pid}")))
    await place.stop_collectors()
    assert place.count(COUNT) == before + count
    return found[0], found[-1]


async def measured(folder: Path, report: Report) -> None:
    async with servers(folder) as place:
        for _ in range(ROUNDS):
            report.add("COPY alone, rows a second", raw_copy(place, STEPS))
            for replicas in REPLICAS:
                report.add(f"{replicas} collectors, steps a second", await drained(place, STEPS, replicas))
        for milliseconds in await delays(place):
            report.add(f"published to seen, ms, at {A_SECOND} steps a second", milliseconds)
        if LONG:
            first, last = await memory(place, LONG)
            report.facts["MB of memory after a tenth of the steps, and after all"] = [round(first), round(last)]
            report.target("memory_last_over_first", last / first, "<= 1.1")
    report.facts["steps in the table"] = STEPS * (1 + len(REPLICAS)) * ROUNDS + LONG
    copy = report.p50("COPY alone, rows a second")
    one = report.p50("1 collectors, steps a second")
    report.target("one_over_copy", one / copy, ">= 0.1667")
    ordered = sorted(report.samples[f"published to seen, ms, at {A_SECOND} steps a second"])
    report.facts["published to seen, p99 in ms"] = round(ordered[int(len(ordered) * 0.99)], 1)
    report.target("steps_a_second", max(report.p50(f"{n} collectors, steps a second") for n in REPLICAS), ">= 8000")


def main() -> None:
    report = Report("collector")
    with tempfile.TemporaryDirectory(prefix="synthbench-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        asyncio.run(measured(Path(folder), report))
    report.finish(["synth-bench-collector", "psycopg"])
